"""What observers of a run receive."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from secateur.adapter import Weight
from secateur.components.method import Method
from secateur.layout import Array

_PIECE = 2**16  # what fits the cache


@dataclass(frozen=True)
class ObservedWeight:
    """One prunable weight of a run, as an observer sees it.

    Attributes:
        weight: The weight; ``weight.spec`` describes it, ``weight.read()`` returns its present
            values, which are not masked yet by the masks of an event.
        rule: The number of the rule that decides it, from 1; None where no rule matches.
        method: How it is pruned, with every step as an integer; None for one that stays dense.
        target: The final sparsity; None where the scores, or the values, decide it.

    Example:
        >>> import numpy, secateur
        >>> class Observer:
        ...     def secateur_masks_updated(self, event):
        ...         print(event.run.weights["fc"].method.pattern.kind)
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> report = secateur.prune({"fc": numpy.eye(2)}, half, observers=[Observer()])
        unstructured

    """

    weight: Weight
    rule: int | None
    method: Method | None
    target: float | None


@dataclass(frozen=True)
class ObservedRun:
    """The run that an event belongs to: the same object at each of its updates.

    Attributes:
        adapter: The name of the adapter that bound the model, such as ``torch``.
        weights: Every prunable weight by name, also those that stay dense.
        policy_table: Returns `policy`, which most observers never ask for.

    Example:
        >>> import numpy, secateur
        >>> class Observer:
        ...     def secateur_masks_updated(self, event):
        ...         print(event.run.adapter, list(event.run.weights))
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> report = secateur.prune({"fc": numpy.eye(2)}, half, observers=[Observer()])
        numpy ['fc']

    """

    adapter: str
    weights: Mapping[str, ObservedWeight]
    policy_table: Callable[[], Mapping[str, Any]] = field(repr=False)

    @cached_property
    def policy(self) -> Mapping[str, Any]:
        """The policy, as `Policy.to_dict` returns it.

        Example:
            >>> ObservedRun("numpy", {}, lambda: {"version": 1}).policy
            {'version': 1}

        """
        return self.policy_table()


@dataclass(frozen=True)
class MasksUpdated:
    """New masks were computed, and are about to be applied.

    Attributes:
        step: The number of optimizer updates finished; 0 when pruning in one go.
        masks: The masks that are new at this step, by weight: canonical, True = kept, read-only.
            Of a weight that is sharded over processes, the part of this process, flat.
        targets: The target sparsity of each of these weights; where values decide how much is
            pruned, as by a threshold, the sparsity of its mask.
        fingerprint: The fingerprint of the policy.
        run: The run; None where masks are transferred without a policy.
        resumed: Whether the masks are those of a saved state that a run goes on from.
        sparsity: The sparsity of all prunable weights together, once these masks are applied.

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
    run: ObservedRun | None = None
    resumed: bool = False
    sparsity: float = 0.0

    @property
    def sparsities(self) -> dict[str, float]:
        """The sparsity of each of the masks."""
        return {name: _sparsity(mask) for name, mask in self.masks.items()}

    def threshold(self, weight: str) -> float | None:
        """Return the smallest magnitude that a mask keeps.

        Where single weights are ranked by magnitude, this is the threshold itself.

        Args:
            weight: The name of a weight that has a new mask.

        Returns:
            The magnitude; None where nothing is kept, or where there is no run.

        """
        if self.run is None:
            return None
        return smallest_kept(self.run.weights[weight].weight.read(), self.masks[weight])


def smallest_kept(values: Array, mask: Array) -> float | None:
    """Return the smallest magnitude that a mask keeps, or None.

    >>> smallest_kept(np.array([[1.0, -3.0], [2.0, 4.0]]), np.array([[False, True], [False, True]]))
    3.0
    """
    flat, kept = values.reshape(-1), mask.reshape(-1)
    if not kept.any():
        return None
    pruned = np.array(math.inf, flat.dtype)
    pieces = (slice(start, start + _PIECE) for start in range(0, flat.size, _PIECE))
    return min(float(np.where(kept[piece], np.abs(flat[piece]), pruned).min()) for piece in pieces)


def _sparsity(mask: Array) -> float:
    return 1 - int(np.count_nonzero(mask)) / mask.size if mask.size else 0.0
