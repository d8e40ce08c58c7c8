"""From weights to masks: score, group, select, expand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from secateur.adapter import Weight
from secateur.arrays.sortable_bits import common_dtype
from secateur.components.criteria.criterion import GRADIENT
from secateur.components.method import Method
from secateur.components.patterns import Channel, FixedPattern, Unstructured
from secateur.layout import Array
from secateur.masks.channels import Channels
from secateur.masks.checked import CheckedMethod
from secateur.masks.gradients import Gradients
from secateur.masks.grouping import Grouping, InRounds, SingleElements, Whole
from secateur.masks.memory import Memory
from secateur.masks.together import checked_together
from secateur.masks.zeros import masks_of_zeros
from secateur.selection.elements import Elements
from secateur.selection.groups import RankedGroups
from secateur.workers import SINGLE, Workers

Choose = Callable[[CheckedMethod, list[RankedGroups], Workers], Sequence[Array]]
"""Returns a mask of the groups of each weight."""


def compute(
    method: Method,
    weights: Sequence[Weight],
    sparsity: float,
    step: int = 0,
    previous: Mapping[str, Array] | None = None,
    workers: Workers = SINGLE,
    gradients: Gradients | None = None,
    memory: Mapping[str, Memory] | None = None,
) -> dict[str, Array]:
    """Return the mask of each weight of a rule, by name; changes nothing.

    Args:
        method: The components that decide.
        weights: The weights of the rule.
        sparsity: The target.
        step: How many updates are finished.
        previous: The masks so far; what they prune stays pruned, unless the criterion regrows.
        workers: The processes that shard the weights.
        gradients: The gradients of the last update; None asks the weights for them.
        memory: What the criterion keeps, by weight.

    Returns:
        Bool arrays, canonical, True = kept; of a sharded weight the part that this process
        holds, flat, in the order of `Weight.read`.

    Raises:
        WeightError: A value is NaN or infinite.
        PluginError: A component fails, or returns what it must not; on all workers together.

    """
    if method.keeps_zeros:
        return masks_of_zeros(weights, previous or {}, workers)

    def choose(
        checked: CheckedMethod, groups: list[RankedGroups], workers: Workers
    ) -> Sequence[Array]:
        return checked.select(groups, sparsity, workers)

    gradients = gradients or Gradients()
    return masks_of(method, weights, step, previous or {}, workers, gradients, memory or {}, choose)


def masks_of(
    method: Method,
    weights: Sequence[Weight],
    step: int,
    previous: Mapping[str, Array],
    workers: Workers,
    gradients: Gradients,
    memory: Mapping[str, Memory],
    choose: Choose,
) -> dict[str, Array]:
    """Return the mask of each weight of a rule, as `compute` does, with the choice that is given.

    Args:
        method: The components that decide.
        weights: The weights of the rule.
        step: How many updates are finished.
        previous: The masks so far.
        workers: The processes that shard the weights.
        gradients: The gradients of the last update.
        memory: What the criterion keeps, by weight.
        choose: Returns a mask of the groups of each weight.

    """
    sharded = any(weight.sharded for weight in weights)
    if not sharded:
        workers = SINGLE  # every process holds these weights whole, and computes the same masks
    names = [weight.spec.name for weight in weights]
    checked = CheckedMethod(method, step, names)
    if sharded:
        checked.require_elementwise()
    elements = _elements(method, weights, step, previous, gradients, memory)
    if sharded:
        _check_everywhere(elements, workers)
    pairs = list(zip(weights, elements, strict=True))
    if isinstance(method.pattern, FixedPattern):
        masks = [_choosing(checked, *pair, workers).choose() for pair in pairs]
    else:
        groupings = [_grouping(checked, *pair, workers) for pair in pairs]
        kept = choose(checked, _ranked(groupings, elements), workers)  # then they go
        masks = [each.expand(part) for each, part in zip(groupings, kept, strict=True)]
    return dict(zip(names, masks, strict=True))


def _elements(
    method: Method,
    weights: Sequence[Weight],
    step: int,
    previous: Mapping[str, Array],
    gradients: Gradients,
    memory: Mapping[str, Memory],
) -> list[Elements]:
    """Return the scored elements of each weight that this process holds."""
    values = [weight.read() for weight in weights]
    common = common_dtype(values) if method.distribution.compares_weights else None
    gradient = gradients.of if GRADIENT in method.criterion.needs else gradients.read
    elements = [
        Elements(
            weight.spec,
            value,
            method.criterion,
            step,
            gradient=partial(gradient, weight),
            memory=memory.get(weight.spec.name),
            previous=None if method.criterion.regrows else previous.get(weight.spec.name),
            compare_as=common,
        )
        for weight, value in zip(weights, values, strict=True)
    ]
    for weight, each in zip(weights, elements, strict=True):
        if weight.sharded:
            each.as_part_of(weight.spec.size, weight.index)
    return elements


def _check_everywhere(elements: Sequence[Elements], workers: Workers) -> None:
    """Raise on all workers when one of them holds a value that cannot be ranked, or scored."""

    def check() -> None:
        for each in elements:
            each.check()

    checked_together(check, workers)


def _ranked(groupings: Sequence[Grouping], elements: Sequence[Elements]) -> list[RankedGroups]:
    pairs = zip(groupings, elements, strict=True)
    return [each.ranked().made_from(source) for each, source in pairs]


def _choosing(
    method: CheckedMethod, weight: Weight, elements: Elements, workers: Workers
) -> Whole | InRounds:
    return InRounds(method, elements, workers) if weight.sharded else Whole(method, elements)


def _grouping(
    method: CheckedMethod, weight: Weight, elements: Elements, workers: Workers
) -> Grouping:
    pattern = method.pattern
    if not weight.sharded:
        return Whole(method, elements)
    if type(pattern) is Unstructured:  # a subclass may group, or score, otherwise
        return SingleElements(elements)
    if type(pattern) is Channel:
        axis, divisor = pattern.axis_of(elements.spec), pattern.divisor(elements.spec)
        return Channels(elements, axis, workers, pattern.pooling, divisor)
    return InRounds(method, elements, workers)


def kept(masks: Mapping[str, Array], workers: Workers) -> dict[str, int]:
    """Return how many elements each mask keeps, over all workers."""
    counts = np.array([np.count_nonzero(mask) for mask in masks.values()], np.int64)
    counts = workers.total(counts)
    return dict(zip(masks, counts.tolist(), strict=True))
