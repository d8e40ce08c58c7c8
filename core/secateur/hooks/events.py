"""What observers of a run receive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from secateur.layout import Array


@dataclass(frozen=True)
class MasksUpdated:
    """New masks were computed, and are about to be applied.

    Attributes:
        step: The number of optimizer updates finished; 0 when pruning in one go.
        masks: The masks that are new at this step, by weight: canonical, True = kept, read-only.
        targets: The target sparsity of each of these weights.
        fingerprint: The fingerprint of the policy.

    Example:
        >>> import numpy, secateur
        >>> class Observer:
        ...     @secateur.hookimpl
        ...     def secateur_masks_updated(self, event):
        ...         print(event.step, {name: int(m.sum()) for name, m in event.masks.items()})
        >>> secateur.register(Observer(), "observer")
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> report = secateur.prune({"fc": numpy.eye(2)}, half)
        0 {'fc': 2}
        >>> secateur.unregister("observer")

    """

    step: int
    masks: Mapping[str, Array]
    targets: Mapping[str, float]
    fingerprint: str
