"""How a live model differs from the one that was bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flax import nnx

from secateur.adapter import ATTACH_AGAIN, Found, Skipped
from secateur_flax.walk import walk
from secateur_flax.weight import FlaxWeight, Slot

_ADVICE = f"no mask applies to it{ATTACH_AGAIN}"


def model_changes(model: nnx.Module, weights: Sequence[FlaxWeight]) -> dict[str, str]:
    """Return a note for each weight that a model no longer has as it was bound.

    Args:
        model: The model as it is now.
        weights: The weights that were bound.

    Returns:
        The name of each weight that changed, or was untied or added, to the note on it.

    """
    met = list(walk(model))
    live = {each.name: each for each in met if isinstance(each, Found)}
    skipped = {each.name: each.reason for each in met if isinstance(each, Skipped)}
    notes: dict[str, str] = {}
    owners: dict[object, str] = {}
    for weight in weights:
        name = weight.spec.name
        if change := _change(weight, live.get(name), skipped):
            notes[name] = f"{name}: {change}; {_ADVICE}"
            continue
        identity = weight.slot.identity()
        owner = owners.setdefault(identity, name)
        if owner != name:
            notes[name] = f"{name} is tied to {owner} now, and both masks apply; {_ADVICE}"
        for alias in weight.spec.aliases:
            if alias in live and live[alias].identity != identity:
                notes[alias] = f"{alias} is no longer tied to {name}; {_ADVICE}"
    known = {name for weight in weights for name in (weight.spec.name, *weight.spec.aliases)}
    for name, found in live.items():
        if name not in known and found.identity not in owners:
            notes[name] = f"{name} was added after the pruner was attached; {_ADVICE}"
    return notes


def _change(
    weight: FlaxWeight, found: Found[Slot] | None, skipped: Mapping[str, str]
) -> str | None:
    if change := weight.change():
        return change
    if found is None:
        name = weight.spec.name
        reason = skipped.get(name) or skipped.get(name.rpartition(":")[0])
        return reason or "it is gone from the model"
    if found.identity != weight.slot.identity():
        return f"its layer was replaced by another {type(found.where.layer).__name__}"
    return None
