"""Scores of groups from scores of elements: sums in float64, in one fixed order.

NumPy's reductions choose their order from the strides, which is enough to flip a bit of a
mask between a Keras kernel, a transposed view, and the same numbers in C order.  Here one
elementwise addition follows another, in canonical order, on every memory layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from secateur.arrays import sizes
from secateur.arrays.chunks import map_threads, pieces
from secateur.arrays.positions import Positions, Region, memory_axes
from secateur.arrays.sortable_bits import score_keys
from secateur.layout import Array
from secateur.selection.groups import RankedGroups
from secateur.selection.norms import DOWN, EXTREMES, LEAST, UP, Pooling, term

SCALE = 2.0**-64
"""Scores are scaled by this where their sum overflows float64, which rounds nothing that counts."""


class Tiles(RankedGroups):
    """Tiles of a weight's elements, pooled where they are read: their scores are never stored.

    A tile at the edge pools the elements that it has.

    Args:
        elements: The elements.
        tile: The extent of a tile along each canonical axis.
        pooling: How the scores of a tile become one.

    """

    def __init__(self, elements: RankedGroups, tile: tuple[int, ...], pooling: Pooling) -> None:
        shape = elements.shape
        grid = tuple(-(-length // size) for length, size in zip(shape, tile, strict=True))
        super().__init__(elements.spec, grid, elements.axes, None)
        self._elements, self._pooling = elements, pooling
        self._tile = tuple(map(min, tile, (max(length, 1) for length in shape)))
        self._offsets = list(product(*map(range, self._tile)))
        self._extreme = EXTREMES.get(pooling)
        self.bits = elements.bits if self._extreme else 64
        self._may_overflow = not self._extreme and elements.bits == 64

    @property
    def previous(self) -> Array | None:
        alive = self._elements.previous
        return None if alive is None else any_in_tiles(alive, self._tile)

    def scores(self, positions: Positions) -> Array:
        if not isinstance(positions, slice):
            return self._gather(positions)
        pooled = [
            self._pool(self._elements.scores_in(region)) for region in self._regions(positions)
        ]
        if not pooled and self._extreme:
            return self._elements.scores(slice(0, 0))  # of the same dtype as the others' scores
        return self._flat(pooled)

    def _score_keys(self, positions: Positions) -> Array:
        return score_keys(self.scores(positions))

    def _alive_at(self, positions: Positions) -> Array | None:
        alive = self._elements.previous
        if alive is None:
            return None
        if not isinstance(positions, slice):
            return self._gather_alive(positions)
        return self._flat(
            [any_in_tiles(alive[region], self._tile) for region in self._regions(positions)]
        )

    def _regions(self, positions: slice) -> list[Region]:
        """Return the canonical regions of the elements of the tiles at these positions."""
        return [
            tuple(
                slice(along.start * size, min(along.stop * size, length))
                for along, size, length in zip(grid, self._tile, self._elements.shape, strict=True)
            )
            for piece in pieces(
                positions.start, positions.stop, max(1, sizes.POOLED // prod(self._tile))
            )
            for grid in self.order.regions(*piece)
        ]

    def _flat(self, parts: list[Array]) -> Array:
        return np.concatenate(
            [np.empty(0, parts[0].dtype if parts else np.float64)]
            + [part.transpose(self.axes).reshape(-1) for part in parts]
        )

    def _pool(self, scores: Array) -> Array:
        """Return the score of each tile in a region that begins at a tile."""
        if self._extreme:
            return self._combine(scores, self._extreme.ufunc, scores.dtype)

        def sums(scale: float) -> Array:
            return self._combine(self._summed(scores, scale), np.add, np.dtype(np.float64))

        if self._pooling == "l2":
            return self._norms(sums)
        return self._means(sums, self._sizes(scores.shape) if self._pooling == "avg" else 1)

    def _summed(self, scores: Array, scale: float) -> Array:
        """Return what is added up of some scores, which are scaled first."""
        if self._pooling == "avg":
            return scores if scale == 1 else scores * scale
        return term(scores.astype(np.float64), self._pooling, scale)

    def _norms(self, squares: Callable[[float], Array]) -> Array:
        """Return square roots of sums of squares, made anew where they leave the range."""
        plain = squares(1.0)
        roots: Array = np.sqrt(plain)
        if not self._may_overflow:
            return roots
        most = np.finfo(np.float64).max
        for outside, scale in ((np.isinf(plain), DOWN), (plain < LEAST, UP)):
            if outside.any():
                with np.errstate(over="ignore"):
                    scaled = np.sqrt(squares(scale)[outside]) / scale
                roots[outside] = np.minimum(scaled, most)
        return roots

    def _combine(self, scores: Array, combine: np.ufunc, dtype: np.dtype[Any]) -> Array:
        """Combine the elements of each tile, one offset after another."""
        parts = (
            scores[tuple(map(slice, offset, (None,) * scores.ndim, self._tile))]
            for offset in self._offsets
        )
        pooled = next(parts).astype(dtype)
        for part in parts:
            full = pooled[tuple(map(slice, part.shape))]  # tiles at the edge have fewer elements
            combine(full, part.astype(dtype, copy=False), out=full)
        return pooled

    def _means(self, sums: Callable[[float], Array], counts: Array | int) -> Array:
        """Return means from sums; sums that overflow are computed again from scaled scores."""
        if not self._may_overflow:
            plain = sums(1.0)
            plain /= counts
            return plain
        with np.errstate(over="ignore", invalid="ignore"):
            means = sums(1.0)
            means /= counts
            if np.isfinite(means).all():
                return means
            scaled = sums(SCALE) / counts
            most = np.finfo(np.float64).max
            unscaled = np.where(np.isfinite(scaled), np.clip(scaled / SCALE, -most, most), scaled)
        return np.where(np.isfinite(means), means, unscaled)

    def _sizes(self, shape: tuple[int, ...]) -> Array | int:
        """Return how many elements each tile of a region has, broadcastable to its tiles."""
        if not any(length % size for length, size in zip(shape, self._tile, strict=True)):
            return len(self._offsets)
        counts: Array | int = 1
        for axis, (length, size) in enumerate(zip(shape, self._tile, strict=True)):
            along = [1] * len(shape)
            along[axis] = -1
            starts = np.arange(0, length, size)
            counts = counts * np.minimum(size, length - starts).reshape(along)
        return counts

    def _members(self, positions: Array) -> Iterator[tuple[Array, Array]]:
        """Yield, by offset in a tile, which of some tiles have it, and the elements' positions."""
        elements = self._elements
        corners = self.order.coordinates(positions)
        for offset in self._offsets:
            at = [
                corner * size + along
                for corner, size, along in zip(corners, self._tile, offset, strict=True)
            ]
            has = np.logical_and.reduce(
                [along < length for along, length in zip(at, elements.shape, strict=True)]
            )
            yield has, elements.order.positions([along[has] for along in at])

    def _gather(self, positions: Array) -> Array:
        if extreme := self._extreme:
            dtype = self._elements.scores(slice(0, 0)).dtype
            best = np.full(len(positions), extreme.start, dtype)
            for has, members in self._members(positions):
                best[has] = extreme.ufunc(best[has], self._elements.scores(members))
            return best

        def sums(scale: float) -> Array:
            found = np.zeros(len(positions))
            for has, members in self._members(positions):
                scores = self._summed(self._elements.scores(members), scale)
                with np.errstate(over="ignore"):
                    found[has] += scores.astype(np.float64, copy=False)
            return found

        if self._pooling == "l2":
            return self._norms(sums)
        counts: Array | int = 1
        if self._pooling == "avg":
            counts = np.zeros(len(positions))
            for has, _ in self._members(positions):
                counts += has
        return self._means(sums, counts)

    def _gather_alive(self, positions: Array) -> Array:
        alive = np.zeros(len(positions), bool)
        for has, members in self._members(positions):
            alive[has] |= self._elements.is_alive(members)
        return alive


def any_in_tiles(mask: Array, tile: Sequence[int]) -> Array:
    """Return, for each tile of an array that begins at a tile, whether any element is True."""
    for axis, size in enumerate(tile):
        if size > 1:
            mask = np.logical_or.reduceat(mask, range(0, mask.shape[axis], size), axis=axis)
    return mask


def spread(kept: Array, tile: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """Return the mask of the elements from that of their tiles, in the same memory order."""
    order = memory_axes(kept)
    rows = kept.transpose(order)
    lengths, each = [shape[axis] for axis in order], [tile[axis] for axis in order]
    mask = np.empty(lengths, bool)

    def write(some: tuple[int, int]) -> None:
        part = rows[slice(*some)]
        for axis in reversed(range(mask.ndim)):  # the fastest first, the least to copy
            if each[axis] > 1:
                is_last = axis == mask.ndim - 1 and each[axis] in (2, 4, 8)
                repeat = _repeat_bytes if is_last and part.flags.c_contiguous else np.repeat
                part = repeat(part, each[axis], axis=axis)
                if axis:
                    part = part[(slice(None),) * axis + (slice(0, lengths[axis]),)]
        target = mask[some[0] * each[0] : some[1] * each[0]]
        target[:] = part[: len(target)]

    if mask.size:
        row = each[0] * prod(lengths[1:])
        map_threads(write, list(pieces(0, len(rows), max(1, sizes.POOLED // row))))
    return mask.transpose(np.argsort(order))


def _repeat_bytes(mask: Array, times: int, axis: int) -> Array:
    """Repeat along the last axis as `np.repeat` does, five times as fast, by whole words."""
    word = np.dtype(f"u{times}")
    spread = word.type(int.from_bytes(b"\1" * times))
    repeated: Array = (mask.view(np.uint8).astype(word) * spread).view(bool)
    return repeated
