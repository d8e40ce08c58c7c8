"""L2 norms of channels: sums of squares in float64, in one fixed order.

Squares of scores beyond 1e154 overflow, and those below 1e-162 vanish.  Where a sum of squares
shows that, it is computed again from scores scaled by a power of two, which rounds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

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


def channel_norms(elements: RankedGroups, axis: int) -> Array:
    """Return the L2 norm of each slice along `axis`, shape ``(channels,)``, float64."""

    def sums(scale: float) -> Array:
        return add_squares(elements, axis, np.zeros(elements.shape[axis]), scale)

    return norms(elements, sums, SINGLE)


def norms(elements: RankedGroups, sums: Callable[[float], Array], workers: Workers) -> Array:
    """Return the square roots of sums of squares of some elements' scores.

    Args:
        elements: The elements.
        sums: Returns the sums of squares of the scores times a scale; all workers call it.
        workers: The processes that shard the weight.

    Raises:
        WeightError: A norm is beyond float64; on all workers.

    """
    squares = sums(1.0)
    roots: Array = np.sqrt(squares)
    if elements.scores(slice(0, 0)).dtype != np.float64:  # no square of another dtype is outside
        return roots
    outside = [(np.isinf(squares), DOWN), (squares < LEAST, UP)]
    anywhere = workers.total(np.array([some.sum() for some, _ in outside], np.int64))
    lost = 0
    for (some, scale), count in zip(outside, anywhere, strict=True):
        if count:
            scaled = sums(scale)[some]
            with np.errstate(over="ignore"):
                roots[some] = np.sqrt(scaled) / scale
            lost += int(np.count_nonzero(np.isinf(roots[some]) & np.isfinite(scaled)))
    if workers.total(np.array([lost], np.int64))[0]:
        raise WeightError(
            f"{elements.spec.name}: the L2 norm of a channel is larger than float64 can hold, so "
            "that the channels cannot be ranked; nothing was changed. Find where training "
            "diverged, or fix the checkpoint, and try again."
        )
    return roots


def add_squares(elements: RankedGroups, axis: int, sums: Array, scale: float = 1.0) -> Array:
    """Add the squares of each slice along `axis` to its sum, in place; return the sums."""
    rest = tuple(other for other in range(len(elements.shape)) if other != axis)
    others = tuple(elements.shape[other] for other in rest)
    channels, length = elements.shape[axis], prod(others)
    at_once = max(1, sizes.POOLED // max(1, length))

    def add_up(some: tuple[int, int]) -> None:
        own = sums[slice(*some)]
        for piece in pieces(0, length, max(1, sizes.POOLED // len(own))):
            for region in regions(others, *piece):
                inside: Region = (*region[:axis], slice(*some), *region[axis:])
                scores = np.moveaxis(elements.scores_in(inside), axis, 0)
                # accumulate adds strictly one after another, unlike a reduction
                chain = np.empty((len(own), 1 + scores[0].size))
                chain[:, 0] = own
                chain[:, 1:] = scores.reshape(len(own), -1)
                with np.errstate(over="ignore", under="ignore"):
                    if scale != 1:
                        chain[:, 1:] *= scale
                    np.square(chain[:, 1:], out=chain[:, 1:])
                    own[:] = np.add.accumulate(chain, axis=1, out=chain)[:, -1]

    if length:
        map_threads(add_up, list(pieces(0, channels, at_once)))
    return sums
