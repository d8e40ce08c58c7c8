"""The weights of a plan: each with its rule and target, and those that are selected together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from secateur.adapter import WeightSpec
from secateur.arrays.counts import keep_count
from secateur.components.criteria.criterion import GRADIENT
from secateur.components.criteria.regrowth import Regrowth
from secateur.components.method import Method
from secateur.components.patterns import FixedPattern
from secateur.selection.component_errors import attributed


@dataclass(frozen=True)
class PlannedWeight:
    """One weight, the rule that decides it, and where that leads.

    Attributes:
        spec: The weight.
        rule: The number of the rule that decides it, from 1; None when no rule matches.
        pruned: Whether that rule prunes it.
        target: The final sparsity; None where the scores decide it, within a rule that ranks
            weights against each other, or where the values of the weight do, as by a threshold.
        by: What decides it then.

    """

    spec: WeightSpec
    rule: int | None
    pruned: bool
    target: float | None
    by: str = "by score"


@dataclass(frozen=True)
class RuleWeights:
    """The weights that one rule prunes: they are selected together.

    Attributes:
        rule: The number of the rule, from 1.
        method: How it prunes.
        specs: The weights, in the order of the model.

    """

    rule: int
    method: Method
    specs: tuple[WeightSpec, ...]

    @property
    def by_values(self) -> bool:
        """Whether the values of a weight decide how much of it is pruned, as by a threshold."""
        return not self.method.has_target

    @property
    def needs_gradients(self) -> bool:
        """Whether the criterion needs the gradients of the weights."""
        return GRADIENT in self.method.criterion.needs and not self.method.keeps_zeros

    @cached_property
    def memory(self) -> Mapping[str, np.dtype[Any]]:
        """The arrays that the criterion keeps of each weight, by name, with their dtypes."""
        if self.method.keeps_zeros:
            return {}
        with attributed(self.method.criterion, weights=[spec.name for spec in self.specs]):
            return self.method.criterion.memory_dtypes()

    @property
    def memory_per_weight(self) -> int:
        """The bytes that the criterion keeps of each single weight."""
        return sum(dtype.itemsize for dtype in self.memory.values())

    def held(self, kept: Mapping[str, int]) -> dict[str, float]:
        """Return the sparsity that each mask has, in place of targets where there are none.

        Args:
            kept: How many elements each mask keeps.

        """
        if not self.by_values:
            return {}
        return {
            spec.name: 1 - kept[spec.name] / spec.size if spec.size else 0.0
            for spec in self.specs
            if spec.name in kept
        }

    @property
    def watches_training(self) -> bool:
        """Whether the criterion can score nothing before the first update."""
        criterion = self.method.criterion
        if isinstance(criterion, Regrowth):
            first = criterion.first  # makes the first masks
            return bool(first.needs or first.memory_dtypes())
        return self.needs_gradients or bool(self.memory)


def kept_elements(
    method: Method,
    specs: Sequence[WeightSpec],
    targets: Mapping[str, float | None],
    sparsity: float,
) -> int:
    """Return how many elements of a rule's weights are kept.

    Args:
        method: How the rule prunes.
        specs: The weights.
        targets: The sparsity of each, by its name; None where the scores decide.
        sparsity: That of all together.

    """
    if not method.has_target:
        return sum(spec.size for spec in specs)
    if any(targets[spec.name] is None for spec in specs):
        sizes = _group_sizes(method, specs)
        size = (sizes.pop() if len(sizes) == 1 else None) or 1
        return keep_count(sum(spec.size for spec in specs) // size, sparsity) * size
    with attributed(method.pattern, 0, [spec.name for spec in specs]):
        return sum(method.pattern.kept_elements(spec, targets[spec.name] or 0) for spec in specs)


def are_exact(
    method: Method, specs: Sequence[WeightSpec], targets: Mapping[str, float | None]
) -> bool:
    """Return whether `kept_elements` is exact: groups that compete have one size.

    Args:
        method: As in `kept_elements`, as the next two.
        specs: The weights.
        targets: The sparsity of each.

    """
    if not method.has_target or isinstance(method.pattern, FixedPattern):
        return method.has_target
    pruned = [spec for spec in specs if targets[spec.name] != 0]
    sizes = _group_sizes(method, pruned)
    by_score = any(targets[spec.name] is None for spec in specs)
    return None not in sizes and not (by_score and len(sizes) > 1)


def _group_sizes(method: Method, specs: Sequence[WeightSpec]) -> set[int | None]:
    with attributed(method.pattern, 0, [spec.name for spec in specs]):
        return {method.pattern.group_size(spec) for spec in specs if spec.size}
