"""The one way by which new masks reach a model: freeze, tell observers, apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from secateur.adapter import Binding
from secateur.hooks.at_work import Observer, notify
from secateur.hooks.events import MasksUpdated
from secateur.layout import Array


def apply_masks(
    binding: Binding,
    masks: Mapping[str, Array],
    event: MasksUpdated,
    observers: Sequence[Observer] = (),
    *,
    once: bool = False,
) -> None:
    """Apply masks to a bound model, after every observer has seen which of them are new.

    Args:
        binding: The model.
        masks: Every mask that it has from now on; they become read-only.
        event: What observers are told.
        observers: The observers of this run, besides those that are registered.
        once: Whether the model is released afterwards, so that nothing keeps it masked.

    Raises:
        PluginError: An observer failed; no mask was applied then.

    """
    for mask in masks.values():
        mask.flags.writeable = False
    masks_seen, targets = MappingProxyType(dict(event.masks)), MappingProxyType(dict(event.targets))
    sparsity = _of_all(binding, masks)
    notify(replace(event, masks=masks_seen, targets=targets, sparsity=sparsity), observers)
    if once:
        binding.prune(masks)
    else:
        binding.apply(masks)


def _of_all(binding: Binding, masks: Mapping[str, Array]) -> float:
    """Return the sparsity of all prunable weights of a model together."""
    size = kept = 0
    for weight in binding.weights:
        mask = masks.get(weight.spec.name)
        if mask is None:
            local = weight.read().size if weight.sharded else weight.spec.size
            size, kept = size + local, kept + local
        else:
            size, kept = size + mask.size, kept + int(np.count_nonzero(mask))
    return 1 - kept / size if size else 0.0


def sparsities(masks: Mapping[str, Array]) -> dict[str, float]:
    """Return the sparsity of each mask.

    Example:
        >>> sparsities({"fc": np.array([True, False])})
        {'fc': 0.5}

    """
    return {
        name: 1 - int(np.count_nonzero(mask)) / mask.size if mask.size else 0.0
        for name, mask in masks.items()
    }
