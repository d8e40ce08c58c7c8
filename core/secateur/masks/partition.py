"""Which worker decides which tiles of a sharded weight, and in which round."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from secateur.arrays import sizes
from secateur.layout import Array

MOST_ROUNDS = 256
"""The round of each element is remembered, in a byte."""


class AxisPartition(NamedTuple):
    """Ranges of tiles along an axis, one for each worker: the order of workers, and the ends."""

    axis: int
    order: Array
    ends: Array

    @classmethod
    def by_size(cls, axis: int, tiles: int, held: Array, lowest: Array) -> AxisPartition:
        """Give each worker tiles in proportion to its elements: whole groups stay where they are.

        Args:
            axis: The axis.
            tiles: How many tiles lie along it.
            held: How many elements each worker holds.
            lowest: Where along the axis the elements of each worker begin.

        """
        order = np.argsort(lowest, kind="stable")
        ends = np.cumsum(held[order]) * tiles // max(int(held.sum()), 1)
        ends[-1] = tiles  # also of a weight without elements
        return cls(axis, order, ends)

    @property
    def largest(self) -> int:
        """The most tiles that one worker decides."""
        return int(np.diff(self.ends, prepend=0).max())

    def owner(self, tiles: Array) -> Array:
        """Return the worker that decides each tile."""
        owner: Array = self.order[np.searchsorted(self.ends, tiles, side="right")]
        return owner

    def bounds(self, grid: Sequence[int]) -> tuple[Array, Array]:
        """Return where the tiles of each worker begin and end, shape (workers, axes)."""
        low = np.zeros((len(self.order), len(grid)), np.int64)
        high = np.full_like(low, grid)
        low[self.order, self.axis] = [0, *self.ends[:-1]]
        high[self.order, self.axis] = self.ends
        return low, high


class Grid:
    """Regions of tiles, one for each worker, divided along one axis, or two, into rounds.

    Args:
        tile: The elements of a tile along each axis.
        low: Where the region of each worker begins, in tiles; shape (workers, axes).
        high: Where it ends.
        first: The axis to divide, which varies slowest.
        second: The axis to divide, too, where layers of the first are too large.

    """

    def __init__(
        self, tile: Sequence[int], low: Array, high: Array, first: int, second: int | None
    ) -> None:
        self.tile, self.low, self.high, self.first = np.array(tile), low, high, first
        widest = (high - low).max(axis=0).tolist()
        longest = max(widest[first], 1)
        layer = prod(n * size for n, size in zip(widest, tile, strict=True)) // longest
        wanted = max(sizes.GATHERED, -(-layer * longest // MOST_ROUNDS))
        at_once = max(wanted // max(layer, 1), -(-longest // MOST_ROUNDS))
        self._strides = [(first, at_once)]
        steps = [-(-longest // at_once)]
        if second is not None and layer > wanted and widest[second] > 1:
            most = min(-(-layer // wanted), MOST_ROUNDS // steps[0])
            at_once = -(-widest[second] // most)
            self._strides.append((second, at_once))
            steps.append(-(-widest[second] // at_once))
        self.steps = tuple(steps)

    @property
    def rounds(self) -> int:
        """How many rounds there are, for every worker."""
        return prod(self.steps)

    def round_of(self, coordinates: Sequence[Array], owner: Array | int) -> Array:
        """Return the round of each element, given where it is and which worker decides it."""
        number = np.zeros_like(coordinates[0])
        for (axis, at_once), steps in zip(self._strides, self.steps, strict=True):
            tiles = coordinates[axis] // self.tile[axis] - self.low[owner, axis]
            number = number * steps + tiles // at_once
        return number

    def tiles(self, number: int) -> tuple[Array, Array]:
        """Return where the tiles of a round begin and end, shape (workers, axes)."""
        low, high = self.low.copy(), self.high.copy()
        steps = np.unravel_index(number, self.steps)
        for (axis, at_once), step in zip(self._strides, steps, strict=True):
            low[:, axis] = np.minimum(self.low[:, axis] + step * at_once, self.high[:, axis])
            high[:, axis] = np.minimum(low[:, axis] + at_once, self.high[:, axis])
        return low, high
