"""The groups of a weight that are zero, and whether masks hold a sparsity: exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from secateur.adapter import WeightSpec
from secateur.arrays.counts import keep_count
from secateur.components.patterns import Pattern, Unstructured, grid_of, tile_of
from secateur.layout import Array
from secateur.run.planned import RuleWeights
from secateur.selection.component_errors import attributed
from secateur.selection.tiles import any_in_tiles, spread


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
    if not method.has_target:
        return True
    if method.pattern.fixed_sparsity is not None:
        return any(kept[spec.name] < spec.size for spec in specs)
    counts: list[tuple[int, int]] = []
    for spec in specs:
        if isinstance(method.pattern, Unstructured):
            counts.append((spec.size, kept[spec.name]))
        elif sharded or (groups := groups_of(masks[spec.name], method.pattern, spec)) is None:
            return True
        else:
            counts.append((groups.total, groups.total - groups.zero))
    totals, found = zip(*counts, strict=True)
    with attributed(method.distribution, 0, [spec.name for spec in specs]):
        targets = method.distribution.targets(specs, scheduled)
    if targets is None:
        return bool(sum(found) == keep_count(sum(totals), scheduled))
    return list(found) == [keep_count(n, t) for n, t in zip(totals, targets, strict=True)]


@dataclass(frozen=True)
class Groups:
    """The groups of a weight, as a pattern lays them.

    Attributes:
        total: How many there are.
        zero: How many of them are zero throughout.
        loose: How many zeros lie in the others.

    """

    total: int
    zero: int
    loose: int


def groups_of(nonzero: Array, pattern: Pattern, spec: WeightSpec) -> Groups | None:
    """Return how many groups of a weight are zero; None where the pattern has no such groups.

    Args:
        nonzero: Where the weight is not zero, canonical.
        pattern: The pattern.
        spec: The weight.

    """
    with attributed(pattern, None, [spec.name]):
        try:
            extent = pattern.checked_extent(spec)
        except NotImplementedError:
            return None
    grid, tile = grid_of(extent, spec.shape), tile_of(extent, spec.shape)
    total = prod(grid)
    if not nonzero.size:
        return Groups(total, 0, 0)
    if max(tile) == 1:
        return Groups(total, total - int(np.count_nonzero(nonzero)), 0)
    kept = any_in_tiles(nonzero, tile)
    alive = int(np.count_nonzero(kept))
    inside = int(np.count_nonzero(spread(kept, tile, spec.shape)))
    return Groups(total, total - alive, inside - int(np.count_nonzero(nonzero)))
