"""Which worker decides which tiles of a sharded weight, and in which round."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from secateur.layout import Array

AT_ONCE = 1 << 15
"""Elements that a worker brings together in a round: each takes some hundred bytes."""
MOST_ROUNDS = 256
"""The round of each element is remembered, in a byte."""


class Shares(NamedTuple):
    """The workers in the order of their elements along an axis, and where their tiles end."""

    axis: int
    order: Array
    ends: Array

    @classmethod
    def by_size(cls, axis: int, tiles: int, held: Array, lowest: Array) -> Shares:
        """Let each worker decide as many tiles as it holds elements: what is whole stays put.

        held, lowest: how many elements each worker holds, and where along the axis they begin.
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
    """Boxes of tiles, one for each worker, cut across one axis, or two, into rounds.

    tile: its elements along each axis.  low, high: where the boxes begin and end, in tiles,
    shape (workers, axes).  first, second: the axes to cut across; the second where layers of
    the first are too large, the first varying slowest.
    """

    def __init__(
        self, tile: Sequence[int], low: Array, high: Array, first: int, second: int | None
    ) -> None:
        self.tile, self.low, self.high, self.first = np.array(tile), low, high, first
        widest = (high - low).max(axis=0).tolist()
        longest = max(widest[first], 1)
        layer = prod(n * size for n, size in zip(widest, tile, strict=True)) // longest
        wanted = max(AT_ONCE, -(-layer * longest // MOST_ROUNDS))
        at_once = max(wanted // max(layer, 1), -(-longest // MOST_ROUNDS))
        self._cuts = [(first, at_once)]
        steps = [-(-longest // at_once)]
        if second is not None and layer > wanted and widest[second] > 1:
            most = min(-(-layer // wanted), MOST_ROUNDS // steps[0])
            at_once = -(-widest[second] // most)
            self._cuts.append((second, at_once))
            steps.append(-(-widest[second] // at_once))
        self.steps = tuple(steps)

    @property
    def rounds(self) -> int:
        """How many rounds there are, for every worker."""
        return prod(self.steps)

    def round_of(self, coordinates: Sequence[Array], owner: Array | int) -> Array:
        """Return the round of each element, given where it is and which worker decides it."""
        number = np.zeros_like(coordinates[0])
        for (axis, at_once), steps in zip(self._cuts, self.steps, strict=True):
            tiles = coordinates[axis] // self.tile[axis] - self.low[owner, axis]
            number = number * steps + tiles // at_once
        return number

    def tiles(self, number: int) -> tuple[Array, Array]:
        """Return where the tiles of a round begin and end, shape (workers, axes)."""
        low, high = self.low.copy(), self.high.copy()
        steps = np.unravel_index(number, self.steps)
        for (axis, at_once), step in zip(self._cuts, steps, strict=True):
            low[:, axis] = np.minimum(self.low[:, axis] + step * at_once, self.high[:, axis])
            high[:, axis] = np.minimum(low[:, axis] + at_once, self.high[:, axis])
        return low, high
