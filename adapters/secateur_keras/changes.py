"""What changed in a live model since its weights were found."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from secateur.adapter import ATTACH_AGAIN, Collected
from secateur.errors import ModelError
from secateur_keras.walk import find
from secateur_keras.weight import KerasWeight


def changes(weights: Sequence[KerasWeight], pruned: Collection[str], model: Any) -> dict[str, str]:
    """Return a note for each pruned weight that the model no longer has as it was found.

    Args:
        weights: The weights as they were found.
        pruned: The names of those that are pruned.
        model: The model as it is now.

    Returns:
        The notes by weight name; one on a name that a weight has gained or lost, by that name.

    """
    try:
        found, skipped = find(model)
    except Exception as error:  # a model that cannot be read any more, for whatever reason
        why = " ".join(str(error).split())[:200]
        note = f"the model cannot be read any more ({why}){ATTACH_AGAIN}"
        return {name: f"{name}: {note}" for name in pruned}
    now = {id(one.found.where): one for one in found}
    reasons = {one.name: one.reason for one in skipped}
    lost: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for weight in weights:
        name = weight.spec.name
        if name not in pruned:
            continue
        present = now.get(id(weight.variable))
        if present is None:
            lost[name] = f"{name} is being pruned, and cannot be any more: {_why(weight, reasons)}"
        else:
            renamed |= _renamed(weight, present)
    return {name: f"{note}{ATTACH_AGAIN}" for name, note in (renamed | lost).items()}


def _why(weight: KerasWeight, reasons: Mapping[str, str]) -> str:
    layer = weight.spec.layer
    reason = reasons.get(layer) or reasons.get(weight.spec.name)
    return reason or f"{layer} is not in the model any more, or holds another variable"


def _renamed(weight: KerasWeight, now: Collected[Any]) -> dict[str, str]:
    name = weight.spec.name
    before, after = {name, *weight.spec.aliases}, {now.found.name, *now.aliases}
    return {
        **{one: f"{one} no longer shares {name}, and is not pruned" for one in before - after},
        **{one: f"{one} shares {name} now, and is pruned with it" for one in after - before},
    }


def check_unchanged(weights: Sequence[KerasWeight], pruned: Collection[str], model: Any) -> None:
    """Check that a model still has its pruned weights, as it has not with LoRA enabled.

    Raises:
        ModelError: A pruned weight is no longer in the model, or cannot be pruned any more.

    """
    notes = changes(weights, pruned, model)
    if lost := [note for name, note in notes.items() if name in pruned]:
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
    inside = {id(variable) for variable in trained.weights}
    missing = [
        w.spec.name for w in weights if w.spec.name in pruned and id(w.variable) not in inside
    ]
    if not missing or inside <= {id(variable) for variable in model.weights}:
        return
    raise ModelError(
        f"the callback is that of a pruner of {model.name!r}, and fit() trains another model, "
        f"{trained.name!r}, which does not have {', '.join(missing[:3])}; nothing of it would be "
        "pruned. Attach to the model that is trained, and pass the callback of that pruner; a "
        "function that builds or clones models (a tuner, a fold, a scikit-learn wrapper) attaches "
        "to each of them."
    )
