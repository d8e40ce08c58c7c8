"""Whether masks hold a sparsity that a schedule asks for: counted in groups, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from secateur.adapter import WeightSpec
from secateur.arrays.counts import keep_count
from secateur.components.patterns import Pattern, Unstructured
from secateur.layout import Array
from secateur.run.plan import RuleWeights
from secateur.selection.component_errors import attributed


def hold(
    rule: RuleWeights,
    masks: Mapping[str, Array],
    kept: Mapping[str, int],
    scheduled: float,
    sharded: bool = False,
) -> bool:
    """Return whether masks keep as many groups as they must at a scheduled sparsity.

    Args:
        rule: The rule that they belong to.
        masks: The masks of its weights.
        kept: What each of them keeps, over all workers.
        scheduled: The sparsity that the schedule asks for.
        sharded: Whether masks hold only what is on this process, flat.

    Returns:
        True also where it cannot be told.

    """
    method, specs = rule.method, rule.specs
    if method.pattern.fixed_sparsity is not None:
        return any(kept[spec.name] < spec.size for spec in specs)
    counts: list[tuple[int, int]] = []
    for spec in specs:
        if isinstance(method.pattern, Unstructured):
            counts.append((spec.size, kept[spec.name]))
        elif sharded or (lengths := _lengths(method.pattern, spec)) is None:
            return True
        else:
            counts.append(_group_counts(masks[spec.name], lengths))
    totals, found = zip(*counts, strict=True)
    with attributed(method.distribution, 0, [spec.name for spec in specs]):
        targets = method.distribution.targets(specs, scheduled)
    if targets is None:
        return bool(sum(found) == keep_count(sum(totals), scheduled))
    return list(found) == [keep_count(n, t) for n, t in zip(totals, targets, strict=True)]


def _lengths(pattern: Pattern, spec: WeightSpec) -> list[int] | None:
    """Return how far a group reaches along each axis; None where the pattern does not say."""
    extent = pattern.extent(spec)
    if extent is None:
        return None
    return [max(reach or size, 1) for reach, size in zip(extent, spec.shape, strict=True)]


def _group_counts(mask: Array, lengths: list[int]) -> tuple[int, int]:
    """Return how many groups a weight has, and how many of them its mask keeps."""
    total = prod(-(-size // length) for size, length in zip(mask.shape, lengths, strict=True))
    for axis, length in enumerate(lengths):
        if mask.size:
            starts = np.arange(0, mask.shape[axis], length)
            mask = np.logical_or.reduceat(mask, starts, axis=axis)
    return total, int(np.count_nonzero(mask))
