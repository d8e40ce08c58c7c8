"""Masks of weights that several workers hold in shards: the same bits as on one.

Every worker scores what it holds; thresholds come from histograms, summed over workers.
Only groups that cross shards, and their scores, move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from secateur.adapter import Weight
from secateur.errors import WeightError
from secateur.exchange import Slab
from secateur.keys import common_dtype
from secateur.layout import Array
from secateur.patterns import FixedPattern, Pattern, Unstructured
from secateur.policy import Method
from secateur.running import fault, running
from secateur.scores import Elements, Pooled, Ranked
from secateur.workers import Workers


def compute(
    method: Method,
    weights: Sequence[Weight],
    sparsity: float,
    step: int,
    in_force: Mapping[str, Array],
    workers: Workers,
) -> dict[str, Array]:
    """Return the mask of what this worker holds of each weight, flat, in the order of `read`.

    Raises what `masks.compute` raises, on all workers together.
    """
    pattern, distribution, criterion = method.pattern, method.distribution, method.criterion
    names = [weight.spec.name for weight in weights]
    if not criterion.elementwise:
        raise fault(criterion, step, names, "scores whole weights; these are sharded")
    values = [weight.read() for weight in weights]
    common = common_dtype(values) if distribution.compares_weights else None
    elements = [
        Elements(
            weight.spec,
            held,
            criterion,
            step,
            gradient=weight.gradient,
            in_force=in_force.get(weight.spec.name),
            compare_as=common,
        ).place(weight.spec.size, weight.index)
        for weight, held in zip(weights, values, strict=True)
    ]
    _check_everywhere(elements, workers)
    if isinstance(pattern, Unstructured):
        with running(distribution, step, names):
            return dict(zip(names, distribution.select(elements, sparsity, workers), strict=True))
    slabs = [_slab(pattern, each, step, workers) for each in elements]
    wholes = [_gathered(each, slab) for each, slab in zip(elements, slabs, strict=True)]
    with running(pattern, step, names):
        if isinstance(pattern, FixedPattern):
            masks = [pattern.select(whole) for whole in wholes]
        else:
            groups = [_grouped(pattern, *pair) for pair in zip(wholes, slabs, strict=True)]
            kept = distribution.select(groups, sparsity, workers)
            specs = [replace(e.spec, shape=s.shape) for e, s in zip(elements, slabs, strict=True)]
            masks = [pattern.expand(*pair) for pair in zip(kept, specs, strict=True)]
    scattered = [slab.scatter(mask) for slab, mask in zip(slabs, masks, strict=True)]
    return dict(zip(names, scattered, strict=True))


def _check_everywhere(elements: Sequence[Elements], workers: Workers) -> None:
    """Raise on all workers when one of them holds a value that cannot be ranked."""
    mine: WeightError | None = None
    try:
        for each in elements:
            each.check()
    except WeightError as error:
        mine = error
    if workers.total(np.array([mine is not None], np.int64))[0]:
        raise mine or WeightError(
            "another worker holds a NaN or an infinity, which its own error names; "
            "nothing was changed"
        )


def _slab(pattern: Pattern, elements: Elements, step: int, workers: Workers) -> Slab:
    spec = elements.spec
    extent = pattern.extent(spec)
    if extent is None:
        raise fault(pattern, step, [spec.name], "has no extent(), which sharded weights need")
    return Slab(spec, extent, elements.index(np.arange(elements.size)), workers)


def _gathered(elements: Elements, slab: Slab) -> Ranked:
    in_force = None if elements.in_force is None else slab.gather(elements.in_force)
    return Pooled(elements.spec, slab.gather(elements.scores(slice(0, elements.size))), in_force)


def _grouped(pattern: Pattern, whole: Ranked, slab: Slab) -> Ranked:
    groups = pattern.group(whole)

    def index(places: Array) -> Array:
        return slab.group_index(groups.local_index(places), groups.shape)

    return groups.place(prod(slab.group_shape(groups.shape)), index)
