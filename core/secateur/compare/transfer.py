"""The masks of one model on its twin, whatever framework that is in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from secateur.adapter import Weight, WeightSpec
from secateur.errors import ModelError, nearest, shown
from secateur.hooks.apply_masks import apply_masks, sparsities
from secateur.hooks.dispatch import bind
from secateur.hooks.events import MasksUpdated
from secateur.layout import Array
from secateur.run.checks.claims import check_free
from secateur.run.report import Masks
from secateur.run.saved import state


def transfer(masks: Any, to_model: Any, *, names: Mapping[str, str] | None = None) -> Masks:
    """Prune a model in place by masks that were made on another, its twin.

    Args:
        masks: A pruner or a report, a mapping of weight name to bool array in canonical layout,
            or the path of a file that `Pruner.save` wrote.
        to_model: Any model that `secateur.prune` takes.
        names: The names of weights or layers of the masks' model, and those of `to_model`,
            where they differ.

    Returns:
        The masks under the names of `to_model`.

    Raises:
        ModelError: A mask has no weight to go to, or is of another shape; nothing is changed
            then.
        StateError: The file holds no pruning state.

    Example:
        >>> masks = {"old": np.array([[True, False]])}
        >>> weights = {"new": np.array([[1.0, 2.0]])}
        >>> list(transfer(masks, weights, names={"old": "new"})), weights["new"].tolist()
        (['new'], [[1.0, 0.0]])

    """
    _check_names(names)
    binding = bind(to_model)
    specs = [weight.spec for weight in binding.weights]
    aliases = {alias: spec.name for spec in specs for alias in spec.aliases}
    by_name = {spec.name: spec for spec in specs}
    fitted: dict[str, Array] = {}
    for name, mask in _masks_of(masks).items():
        wanted = renamed(name, names or {})
        spec = by_name.get(aliases.get(wanted, wanted))
        if spec is None:
            raise ModelError(
                f"the mask of {shown(name)} has no weight {shown(wanted)} to go to in this "
                f"{binding.adapter} model: {nearest(wanted, by_name)}. Pass names={{...}}."
            )
        fitted[spec.name] = _checked(name, mask, spec)
    weights = {weight.spec.name: weight for weight in binding.weights}
    fitted = {name: _local(mask, weights[name]) for name, mask in fitted.items()}
    check_free([weights[name] for name in fitted])
    event = MasksUpdated(0, fitted, sparsities(fitted), getattr(masks, "fingerprint", ""))
    apply_masks(binding, fitted, event, once=True)
    binding.release()
    return Masks(fitted, aliases)


def _check_names(names: Any) -> None:
    fits = isinstance(names, Mapping) and all(isinstance(n, str) for n in (*names, *names.values()))
    if names is not None and not fits:
        raise ModelError(
            f'wanted names={{"old": "new"}}, a mapping of name to name, got {shown(names)}'
        )


def renamed(name: str, names: Mapping[str, str]) -> str:
    """Return the name of a weight in the other model.

    Args:
        name: Its name.
        names: New names of weights, or of layers.

    >>> renamed("dense_1:kernel", {"dense_1": "fc"})
    'fc:kernel'

    """
    layer, colon, role = name.rpartition(":")
    return names.get(name, f"{names.get(layer, layer)}{colon}{role}")


def _local(mask: Array, weight: Weight) -> Array:
    """Return what this process holds of a mask."""
    if not weight.sharded:
        return mask
    local: Array = mask.reshape(-1)[weight.index(np.arange(weight.read().size))]
    return local


def _masks_of(source: Any) -> Mapping[str, Array]:
    if isinstance(source, (str, Path)):
        return state.load(Path(source)).masks
    found = getattr(source, "masks", source)
    if not isinstance(found, Mapping):
        raise ModelError(
            f"no masks in a {type(source).__name__}; pass a pruner, a report, a mapping of "
            "name to bool array, or the path of a saved state"
        )
    return found


def _checked(name: str, mask: Array, spec: WeightSpec) -> Array:
    mask = np.array(mask)
    if mask.dtype != np.bool_ or mask.shape != spec.shape:
        raise ModelError(
            f"the mask of {shown(name)} is {mask.dtype} of shape {mask.shape}, and {spec.name} "
            f"needs bool of shape {spec.shape}; nothing was changed"
        )
    return mask
