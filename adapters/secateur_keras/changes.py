"""What changed in a live model since its weights were found."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from secateur.adapter import Collected
from secateur.errors import ModelError
from secateur_keras.walk import find
from secateur_keras.weight import KerasWeight

AGAIN = "call pruner.detach(), and attach again if there is more to prune"


def changes(weights: Sequence[KerasWeight], pruned: Collection[str], model: Any) -> dict[str, str]:
    """Return a note for each pruned weight that the model has no more, or has otherwise.

    Args:
        weights: The weights as they were found.
        pruned: The names of those that are pruned.
        model: The model as it is now.

    """
    try:
        found, skipped = find(model)
    except Exception as error:  # a model that cannot be read any more, for whatever reason
        why = " ".join(str(error).split())[:200]
        return {
            name: f"{name}: the model cannot be read any more ({why}); {AGAIN}" for name in pruned
        }
    now = {id(one.found.where): one for one in found}
    reasons = {one.name: one.reason for one in skipped}
    notes = {}
    for weight in weights:
        name = weight.spec.name
        if name in pruned:
            present = now.get(id(weight.variable))
            if present is None:
                notes[name] = f"{name} {_lost(weight, reasons)}; {AGAIN}"
            elif changed := _changed(weight, present):
                notes[name] = f"{name} {changed}; {AGAIN}"
    return notes


def _lost(weight: KerasWeight, reasons: Mapping[str, str]) -> str:
    layer = weight.spec.layer
    why = reasons.get(layer) or reasons.get(weight.spec.name)
    if why is None:
        why = f"{layer} is not in the model any more, or holds another variable"
    return f"is being pruned, and cannot be any more: {why}"


def _changed(weight: KerasWeight, now: Collected[Any]) -> str | None:
    before, after = {weight.spec.name, *weight.spec.aliases}, {now.found.name, *now.aliases}
    if gone := sorted(before - after):
        return f"is no longer shared with {', '.join(gone[:3])}, which is not pruned"
    if new := sorted(after - before):
        return f"is now shared with {', '.join(new[:3])}, which is pruned with it"
    return None


def check_unchanged(weights: Sequence[KerasWeight], pruned: Collection[str], model: Any) -> None:
    """Check that a model still has its pruned weights, as it has not with LoRA enabled.

    Raises:
        ModelError: A pruned weight is no longer in the model, or cannot be pruned any more.

    """
    notes = changes(weights, pruned, model)
    lost = [note for note in notes.values() if " shared with " not in note]
    if lost:
        raise ModelError(lost[0])


def check_fits(
    weights: Sequence[KerasWeight], pruned: Collection[str], model: Any, trained: Any
) -> None:
    """Check that the model in a fit() has the weights that a pruner prunes.

    Args:
        weights: The weights of the model that is pruned.
        pruned: The names of those that are pruned.
        model: The model that is pruned.
        trained: The model that fit() is called on: that one, one that contains it, or a part.

    Raises:
        ModelError: It is another model.

    """
    if trained is model:
        return
    inside = {id(variable) for variable in trained.variables}
    missing = [
        w.spec.name for w in weights if w.spec.name in pruned and id(w.variable) not in inside
    ]
    if not missing or inside <= {id(variable) for variable in model.variables}:
        return
    raise ModelError(
        f"the callback is that of a pruner of {model.name!r}, and fit() trains another model, "
        f"{trained.name!r}, which does not have {', '.join(missing[:3])}; nothing of it would be "
        "pruned. Attach to the model that is trained, and pass the callback of that pruner; a "
        "function that builds or clones models (a tuner, a fold, a scikit-learn wrapper) attaches "
        "to each of them."
    )
