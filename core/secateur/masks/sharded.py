"""Masks of weights that several workers hold in shards: the same bits as on one.

Every worker scores what it holds; thresholds come from histograms, summed over workers.
Only groups that cross shards, and their scores, move.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from secateur.adapter import Weight
from secateur.arrays.sortable_bits import common_dtype
from secateur.components.method import Method
from secateur.components.patterns import Channel, FixedPattern, Pattern, Unstructured
from secateur.errors import PluginError, SecateurError, WeightError
from secateur.layout import Array
from secateur.masks.channels import Channels
from secateur.masks.exchange import Cut
from secateur.selection.component_errors import attributed, component_error
from secateur.selection.groups import Elements, Pooled, RankedGroups
from secateur.workers import Workers


def compute(
    method: Method,
    weights: Sequence[Weight],
    sparsity: float,
    step: int,
    previous: Mapping[str, Array],
    workers: Workers,
) -> dict[str, Array]:
    """Return the mask of what this worker holds of each weight, flat, in the order of `read`.

    Raises what `masks.compute` raises, on all workers together.
    """
    pattern, distribution, criterion = method.pattern, method.distribution, method.criterion
    names = [weight.spec.name for weight in weights]
    if not criterion.elementwise:
        raise component_error(criterion, step, names, "scores whole weights; these are sharded")
    values = [weight.read() for weight in weights]
    common = common_dtype(values) if distribution.compares_weights else None
    elements = [
        Elements(
            weight.spec,
            held,
            criterion,
            step,
            gradient=weight.gradient,
            previous=previous.get(weight.spec.name),
            compare_as=common,
        ).place(weight.spec.size, weight.index)
        for weight, held in zip(weights, values, strict=True)
    ]
    _check_everywhere(elements, workers)
    if isinstance(pattern, Unstructured):
        with attributed(distribution, step, names):
            return dict(zip(names, distribution.select(elements, sparsity, workers), strict=True))
    if isinstance(pattern, FixedPattern):
        cuts = [_cut(pattern, each, step, workers) for each in elements]
        with attributed(pattern, step, names):
            masks = [_selected(pattern, *pair) for pair in zip(elements, cuts, strict=True)]
        return dict(zip(names, masks, strict=True))
    groups = [_groups(pattern, each, step, workers) for each in elements]
    with attributed(pattern, step, names):
        kept = distribution.select([each.ranked() for each in groups], sparsity, workers)
        masks = [each.expand(part) for each, part in zip(groups, kept, strict=True)]
    return dict(zip(names, masks, strict=True))


def _check_everywhere(elements: Sequence[Elements], workers: Workers) -> None:
    """Raise on all workers when one of them holds a value that cannot be ranked, or scored."""
    mine: SecateurError | None = None
    try:
        for each in elements:
            each.check()
    except SecateurError as error:
        mine = error
    failed = np.array([isinstance(mine, WeightError), mine is not None], np.int64)
    unranked, unscored = workers.total(failed).tolist()
    if mine is not None:
        raise mine
    if unranked:
        raise WeightError(
            "another worker holds a NaN or an infinity, which its own error names; "
            "nothing was changed"
        )
    if unscored:
        raise PluginError(
            "the criterion failed on another worker, whose own error says why; nothing was changed"
        )


def _groups(
    pattern: Pattern, elements: Elements, step: int, workers: Workers
) -> Channels | _Grouped:
    if type(pattern) is Channel:  # a subclass may score otherwise
        return Channels(elements, pattern.axis_of(elements.spec), workers)
    return _Grouped(pattern, elements, _cut(pattern, elements, step, workers))


def _cut(pattern: Pattern, elements: Elements, step: int, workers: Workers) -> Cut:
    extent = pattern.extent(elements.spec)
    if extent is None:
        name = elements.spec.name
        raise component_error(pattern, step, [name], "has no extent(), which sharded weights need")
    return Cut.across(elements, extent, workers)


def _selected(pattern: FixedPattern, elements: Elements, cut: Cut) -> Array:
    mask = np.empty(elements.size, bool)
    for slab in cut.slabs():
        mask[slab.positions] = slab.scatter(pattern.select(slab.scores(elements)))
    return mask


class _Grouped:
    """Groups that are brought together slab by slab."""

    def __init__(self, pattern: Pattern, elements: Elements, cut: Cut) -> None:
        self._pattern, self._elements, self._cut = pattern, elements, cut

    def ranked(self) -> RankedGroups:
        """Return the groups that this worker decides."""
        cut, previous = self._cut, list[Array]()

        def scores() -> Iterator[Array]:
            for slab in cut.slabs():
                groups = self._pattern.group(slab.scores(self._elements))
                if groups.previous is not None:
                    previous.append(groups.previous)
                yield groups.array()

        held = Pooled(
            self._elements.spec, cut.join(scores()), cut.join(previous) if previous else None
        )
        order = held.order  # not `held`: a cycle would keep the scores until the next collection

        def index(positions: Array) -> Array:
            return cut.group_index(order.index(positions), order.shape)

        return held.place(cut.group_count(len(order.shape)), index)

    def expand(self, kept: Array) -> Array:
        """Return the mask of what this worker holds, from that of the groups it decides."""
        mask = np.empty(self._elements.size, bool)
        for slab, part in zip(self._cut.slabs(), self._cut.split(kept), strict=True):
            mask[slab.positions] = slab.scatter(self._pattern.expand(part, slab.spec))
        return mask
