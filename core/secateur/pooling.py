"""Scores of groups from scores of elements: sums in float64, in one fixed order.

NumPy's reductions choose their order from the strides, which is enough to flip a bit of a
mask between a Keras kernel, a transposed view, and the same numbers in C order.  Here one
elementwise addition follows another, in canonical order, on every memory layout.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Literal

import numpy as np

from secateur.layout import Array
from secateur.parallel import CHUNK, map_threads, pieces
from secateur.scores import Ranked


def pool_tiles(elements: Ranked, tile: tuple[int, ...], pooling: Literal["avg", "max"]) -> Array:
    """Return the mean or the maximum of each tile; an edge tile pools what it holds.

    tile: extent along each canonical axis.
    Returns float64, of canonical shape ``ceil(shape / tile)``.
    """
    grid = tuple(-(-length // size) for length, size in zip(elements.shape, tile, strict=True))
    order = elements.axes
    pooled = np.empty([grid[axis] for axis in order])
    row = prod(elements.shape[axis] for axis in order[1:])
    step = tile[order[0]]
    at_once = max(1, 4 * CHUNK // max(1, row * step))

    def pool(rows: tuple[int, int]) -> None:
        start, stop = rows[0] * step, min(rows[1] * step, elements.shape[order[0]])
        shape = (stop - start, *(elements.shape[axis] for axis in order[1:]))
        scores = elements.scores(slice(start * row, stop * row)).reshape(shape)
        out = pooled[rows[0] : rows[1]]
        join = np.maximum if pooling == "max" else np.add
        out[:] = -np.inf if pooling == "max" else 0
        for offset in product(*(range(size) for size in tile)):
            part = scores[tuple(slice(offset[axis], None, tile[axis]) for axis in order)]
            held = out[tuple(slice(0, length) for length in part.shape)]
            join(held, part.astype(np.float64), out=held)
        if pooling == "avg":
            out /= _held(shape, tuple(tile[axis] for axis in order))

    if pooled.size:
        map_threads(pool, list(pieces(0, pooled.shape[0], at_once)))
    return pooled.transpose(np.argsort(order))


def _held(shape: tuple[int, ...], tile: tuple[int, ...]) -> Array:
    """Return how many elements each tile holds, broadcastable to the grid."""
    counts = np.ones([1] * len(shape))
    for axis, (length, size) in enumerate(zip(shape, tile, strict=True)):
        starts = np.arange(0, length, size)
        along = [1] * len(shape)
        along[axis] = len(starts)
        counts = counts * np.minimum(size, length - starts).reshape(along)
    return counts


def channel_norms(elements: Ranked, axis: int) -> Array:
    """Return the L2 norm of each slice along `axis`, shape ``(channels,)``, float64."""
    scores = np.moveaxis(elements.array(), axis, 0)
    channels, length = scores.shape[0], prod(scores.shape[1:])
    sums = np.zeros(channels)
    if not sums.size or not length:
        return sums
    outer = scores.shape[1] if scores.ndim > 1 else 1
    slices = scores.reshape(channels, 1) if scores.ndim == 1 else scores
    at_once = max(1, 4 * CHUNK * outer // (channels * length))
    for start, stop in pieces(0, outer, at_once):
        squares = np.square(slices[:, start:stop].reshape(channels, -1), dtype=np.float64)
        # accumulate adds strictly one after another, unlike a reduction
        chain = np.concatenate([sums[:, None], squares], axis=1)
        sums = np.add.accumulate(chain, axis=1)[:, -1]
    return np.sqrt(sums)
