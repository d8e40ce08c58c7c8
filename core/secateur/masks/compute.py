"""From weights to masks: score, group, select, expand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from secateur.adapter import Weight
from secateur.arrays.sortable_bits import common_dtype
from secateur.components.method import Method
from secateur.components.patterns import FixedPattern
from secateur.layout import Array
from secateur.masks import sharded
from secateur.selection.component_errors import attributed, component_error
from secateur.selection.groups import Elements
from secateur.workers import SINGLE, Workers


def compute(
    method: Method,
    weights: Sequence[Weight],
    sparsity: float,
    step: int = 0,
    previous: Mapping[str, Array] | None = None,
    workers: Workers = SINGLE,
) -> dict[str, Array]:
    """Return the mask of each weight of a rule, by name; changes nothing.

    previous: the masks so far; what they prune stays pruned while the target grows.
    workers: those who hold the weights in shards, when there are several.
    Masks are bool, canonical, True = kept; of sharded weights, what this worker holds.
    Raises WeightError for a value that is NaN or infinite, and PluginError, naming the
    plugin, the weights and the step, when a plugin's part fails.
    """
    held = {} if method.criterion.regrows or not previous else previous
    if any(weight.sharded for weight in weights):
        return sharded.compute(method, weights, sparsity, step, held, workers)
    specs = [weight.spec for weight in weights]
    names = [spec.name for spec in specs]
    pattern, distribution = method.pattern, method.distribution
    values = [weight.read() for weight in weights]
    common = common_dtype(values) if distribution.compares_weights else None
    scores = [
        Elements(
            weight.spec,
            value,
            method.criterion,
            step,
            gradient=weight.gradient,
            previous=held.get(weight.spec.name),
            compare_as=common,
        )
        for weight, value in zip(weights, values, strict=True)
    ]
    if isinstance(pattern, FixedPattern):
        with attributed(pattern, step, names):
            masks = [pattern.select(each) for each in scores]
    else:
        with attributed(pattern, step, names):
            groups = [pattern.group(each) for each in scores]
        with attributed(distribution, step, names):
            kept = distribution.select(groups, sparsity)
        with attributed(pattern, step, names):
            masks = [pattern.expand(*pair) for pair in zip(kept, specs, strict=True)]
    for mask, spec in zip(masks, specs, strict=True):
        if mask.shape != spec.shape or mask.dtype != bool:
            gave = f"gave a mask of {mask.dtype} {mask.shape}; wanted bool {spec.shape}"
            raise component_error(pattern, step, [spec.name], gave)
    return dict(zip(names, masks, strict=True))


def kept(masks: Mapping[str, Array], workers: Workers) -> dict[str, int]:
    """Return how many elements each mask keeps, over all workers."""
    counts = np.array([np.count_nonzero(mask) for mask in masks.values()], np.int64)
    counts = workers.total(counts)
    return dict(zip(masks, counts.tolist(), strict=True))
