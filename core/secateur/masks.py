"""From weights to masks: score, group, select, expand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from secateur import sharded
from secateur.adapter import Weight
from secateur.keys import common_dtype
from secateur.layout import Array
from secateur.patterns import FixedPattern
from secateur.policy import Method
from secateur.running import fault, running
from secateur.scores import Elements
from secateur.workers import Workers


def compute(
    method: Method,
    weights: Sequence[Weight],
    sparsity: float,
    step: int = 0,
    in_force: Mapping[str, Array] | None = None,
    workers: Workers | None = None,
) -> dict[str, Array]:
    """Return the mask of each weight of a rule, by name; changes nothing.

    in_force: the masks so far; what they prune stays pruned while the target grows.
    workers: those who hold the weights in shards, when there are several.
    Masks are bool, canonical, True = kept; of sharded weights, what this worker holds.
    Raises WeightError for a value that is NaN or infinite, and PluginError, naming the
    plugin, the weights and the step, when a plugin's part fails.
    """
    held = {} if method.criterion.regrows or not in_force else in_force
    if workers is not None:
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
            in_force=held.get(weight.spec.name),
            compare_as=common,
        )
        for weight, value in zip(weights, values, strict=True)
    ]
    if isinstance(pattern, FixedPattern):
        with running(pattern, step, names):
            masks = [pattern.select(each) for each in scores]
    else:
        with running(pattern, step, names):
            groups = [pattern.group(each) for each in scores]
        with running(distribution, step, names):
            kept = distribution.select(groups, sparsity)
        with running(pattern, step, names):
            masks = [pattern.expand(*pair) for pair in zip(kept, specs, strict=True)]
    for mask, spec in zip(masks, specs, strict=True):
        if mask.shape != spec.shape or mask.dtype != bool:
            gave = f"gave a mask of {mask.dtype} {mask.shape}; wanted bool {spec.shape}"
            raise fault(pattern, step, [spec.name], gave)
    return dict(zip(names, masks, strict=True))


def kept(masks: Mapping[str, Array], workers: Workers | None) -> dict[str, int]:
    """Return how many elements each mask keeps, over all workers."""
    counts = np.array([np.count_nonzero(mask) for mask in masks.values()], np.int64)
    if workers is not None:
        counts = workers.total(counts)
    return dict(zip(masks, counts.tolist(), strict=True))
