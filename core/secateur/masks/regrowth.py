"""Masks of criteria by which weights go and others come: who stays, then who comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from secateur.adapter import Weight
from secateur.arrays.counts import keep_count
from secateur.components.criteria.regrowth import Regrowth
from secateur.components.distributions import Distribution
from secateur.components.method import Method
from secateur.layout import Array
from secateur.masks.checked import CheckedMethod
from secateur.masks.compute import compute, masks_of
from secateur.masks.gradients import Gradients
from secateur.masks.memory import Memory
from secateur.selection.component_errors import attributed, component_error
from secateur.selection.groups import RankedGroups
from secateur.selection.select import select
from secateur.workers import Workers


def regrown(
    method: Method,
    weights: Sequence[Weight],
    sparsity: float,
    step: int,
    previous: Mapping[str, Array],
    workers: Workers,
    gradients: Gradients,
    memory: Mapping[str, Memory],
) -> dict[str, Array]:
    """Return the mask of each weight of a rule after an update; changes nothing.

    Values that are zero already are the last that the first masks keep: attached to the weights
    of an earlier run, before its state is loaded, they prune nothing that lives.

    Args:
        method: The components that decide; the criterion is a `Regrowth`.
        weights: The weights of the rule.
        sparsity: The target.
        step: How many updates are finished.
        previous: The masks so far; none at the first update.
        workers: The processes that shard the weights.
        gradients: The gradients of the last update.
        memory: What the criterion keeps, by weight.

    Raises:
        WeightError: A value is NaN or infinite.
        PluginError: A component fails, or returns what it must not.

    """
    criterion, names = method.criterion, [weight.spec.name for weight in weights]
    if not isinstance(criterion, Regrowth):
        raise TypeError(f"criterion {criterion.kind!r} does not regrow")
    if not all(name in previous for name in names):
        first = replace(method, criterion=criterion.first)
        nonzero = {weight.spec.name: np.asarray(weight.read() != 0) for weight in weights}
        return compute(first, weights, sparsity, step, nonzero, workers, gradients, memory)
    with attributed(criterion, step, names):
        fraction = float(criterion.fraction_at(step, method.schedule.latest or 0))
        drop, grow = criterion.drop, criterion.grow
    if not 0 <= fraction <= 1:
        raise component_error(criterion, step, names, f"fraction_at() gave {fraction}")
    counts = _Counts(method, sparsity, fraction)
    stay = masks_of(
        replace(method, criterion=drop), weights, step, previous, workers, gradients, memory,
        counts.choose_who_stay,
    )  # fmt: skip
    others = {name: ~mask for name, mask in stay.items()}
    come = masks_of(
        replace(method, criterion=grow), weights, step, others, workers, gradients, memory,
        counts.choose_who_come,
    )  # fmt: skip
    return {name: stay[name] | come[name] for name in names}


class _Counts:
    """How many groups stay, and how many come: of each weight, or of all together.

    Args:
        method: The components that decide.
        sparsity: The target.
        fraction: Which share of those kept changes.

    """

    def __init__(self, method: Method, sparsity: float, fraction: float) -> None:
        self._sparsity, self._fraction = sparsity, Fraction(fraction)
        self._is_together = type(method.distribution).select is not Distribution.select
        self._coming: list[int] = []

    def choose_who_stay(
        self, checked: CheckedMethod, groups: list[RankedGroups], workers: Workers
    ) -> Sequence[Array]:
        if not self._is_together:
            targets = checked.targets([group.spec for group in groups], self._sparsity)
            alive = _alive(groups, workers)
            pairs = zip(groups, targets, strict=True)
            wanted = [keep_count(group.count, target) for group, target in pairs]
            stay = [self._staying(*each) for each in zip(wanted, alive, strict=True)]
            return [
                select([group], keep, workers)[0] for group, keep in zip(groups, stay, strict=True)
            ]
        total = sum(group.count for group in groups)
        stay_of_all = self._staying(keep_count(total, self._sparsity), sum(_alive(groups, workers)))
        return checked.select(groups, float(Fraction(total - stay_of_all, total)), workers)

    def _staying(self, wanted: int, alive: int) -> int:
        """Return how many groups stay of those alive, and take note of how many come."""
        stay = min(wanted - round(self._fraction * wanted), alive)
        self._coming.append(wanted - stay)
        return stay

    def choose_who_come(
        self, checked: CheckedMethod, groups: list[RankedGroups], workers: Workers
    ) -> Sequence[Array]:
        if self._is_together:
            return select(groups, self._coming[0], workers)
        return [
            select([group], come, workers)[0]
            for group, come in zip(groups, self._coming, strict=True)
        ]


def _alive(groups: Sequence[RankedGroups], workers: Workers) -> list[int]:
    """Return how many groups of each weight were kept so far, those of other workers included."""
    here = [
        group.size if group.previous is None else int(np.count_nonzero(group.previous))
        for group in groups
    ]
    is_shared = any(group.is_part for group in groups)
    counts: list[int] = workers.total(np.array(here, np.int64)).tolist() if is_shared else here
    return counts
