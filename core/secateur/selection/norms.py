"""Scores of channels: sums of squares or of magnitudes in float64, in one fixed order; extremes.

Squares of scores beyond 1e154 overflow, and those below 1e-162 vanish.  Where a sum of squares
shows that, it is computed again from scores scaled by a power of two, which rounds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Literal, NamedTuple

import numpy as np

from secateur.arrays import sizes
from secateur.arrays.chunks import map_threads, pieces
from secateur.arrays.positions import Region, regions
from secateur.errors import WeightError
from secateur.layout import Array
from secateur.selection.groups import RankedGroups
from secateur.workers import SINGLE, Workers

LEAST = 2.0**-960
"""A sum of squares below this may have lost some of them."""
DOWN, UP = 2.0**-540, 2.0**580
"""Bring every square of a sum that overflowed, or fell below `LEAST`, into the range of float64."""

Pooling = Literal["avg", "max", "min", "l1", "l2"]
"""How the scores of a group become one: mean, extremes, sum of magnitudes, root of the squares."""


class Extreme(NamedTuple):
    """A pooling that rounds nothing: the larger, or the smaller, of two scores.

    Attributes:
        ufunc: Returns it.
        start: The score to which every other one is preferred.

    """

    ufunc: np.ufunc
    start: float


EXTREMES = {"max": Extreme(np.maximum, -np.inf), "min": Extreme(np.minimum, np.inf)}


def term(scores: Array, pooling: Pooling, scale: float) -> Array:
    """Return what a norm adds up of some float64 scores, which are scaled first; in place."""
    with np.errstate(over="ignore", under="ignore"):
        if scale != 1:
            scores *= scale
        return (np.square if pooling == "l2" else np.abs)(scores, out=scores)


def start_of(pooling: Pooling) -> float:
    """Return the score of a channel of which no element was seen yet."""
    extreme = EXTREMES.get(pooling)
    return extreme.start if extreme else 0.0


def channel_norms(elements: RankedGroups, axis: int, pooling: Pooling = "l2") -> Array:
    """Return the score of each slice along `axis`, shape ``(channels,)``, float64."""

    def sums(scale: float) -> Array:
        start = np.full(elements.shape[axis], start_of(pooling))
        return add_up(elements, axis, start, scale, pooling)

    return norms(elements, sums, SINGLE, pooling)


def norms(
    elements: RankedGroups,
    sums: Callable[[float], Array],
    workers: Workers,
    pooling: Pooling = "l2",
) -> Array:
    """Return the scores of channels from what was added up of their elements' scores.

    Args:
        elements: The elements.
        sums: Returns the sums, or extremes, of the scores times a scale; all workers call it.
        workers: The processes that shard the weights.
        pooling: How the scores of a channel become one.

    Raises:
        WeightError: A norm is beyond float64; on all workers.

    """
    found = sums(1.0)
    if pooling in EXTREMES:
        return found
    if pooling == "l1":
        _check_range(elements, np.isinf(found), workers, "L1")
        return found
    roots: Array = np.sqrt(found)
    if elements.scores(slice(0, 0)).dtype != np.float64:  # no square of another dtype is outside
        return roots
    outside = [(np.isinf(found), DOWN), (found < LEAST, UP)]
    anywhere = workers.total(np.array([some.sum() for some, _ in outside], np.int64))
    lost = np.zeros(len(found), bool)
    for (some, scale), count in zip(outside, anywhere, strict=True):
        if count:
            scaled = sums(scale)[some]
            with np.errstate(over="ignore"):
                roots[some] = np.sqrt(scaled) / scale
            lost[some] = np.isinf(roots[some]) & np.isfinite(scaled)
    _check_range(elements, lost, workers, "L2")
    return roots


def _check_range(elements: RankedGroups, lost: Array, workers: Workers, norm: str) -> None:
    if workers.total(np.array([np.count_nonzero(lost)], np.int64))[0]:
        raise WeightError(
            f"{elements.spec.name}: the {norm} norm of a channel is larger than float64 can hold, "
            "so that the channels cannot be ranked; nothing was changed. Find where training "
            "diverged, or fix the checkpoint, and try again."
        )


def add_up(
    elements: RankedGroups, axis: int, sums: Array, scale: float = 1.0, pooling: Pooling = "l2"
) -> Array:
    """Add each slice along `axis` to its sum, or extreme, in place; return the sums."""
    rest = tuple(other for other in range(len(elements.shape)) if other != axis)
    others = tuple(elements.shape[other] for other in rest)
    channels, length = elements.shape[axis], prod(others)
    at_once = max(1, sizes.POOLED // max(1, length))
    extreme = EXTREMES.get(pooling)

    def add(some: tuple[int, int]) -> None:
        own = sums[slice(*some)]
        for piece in pieces(0, length, max(1, sizes.POOLED // len(own))):
            for region in regions(others, *piece):
                inside: Region = (*region[:axis], slice(*some), *region[axis:])
                scores = np.moveaxis(elements.scores_in(inside), axis, 0)
                # accumulate adds strictly one after another, unlike a reduction
                chain = np.empty((len(own), 1 + scores[0].size))
                chain[:, 0] = own
                chain[:, 1:] = scores.reshape(len(own), -1)
                if extreme:
                    own[:] = extreme.ufunc.reduce(chain, axis=1)
                    continue
                term(chain[:, 1:], pooling, scale)
                with np.errstate(over="ignore", under="ignore"):
                    own[:] = np.add.accumulate(chain, axis=1, out=chain)[:, -1]

    if length:
        map_threads(add, list(pieces(0, channels, at_once)))
    return sums
