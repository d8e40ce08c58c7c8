"""Bring whole groups of a sharded weight together, piece by piece, each worker taking some.

Nobody gathers a weight: in each round a worker holds a small part of what it decides, and
groups that lie on one worker as a whole stay there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from math import prod
from typing import TypeVar

import numpy as np

from secateur.adapter import WeightSpec
from secateur.arrays.chunks import pieces
from secateur.arrays.positions import MemoryOrder, by_number
from secateur.layout import Array
from secateur.masks.partition import AT_ONCE, Grid, Shares
from secateur.selection.groups import Elements, Pooled
from secateur.workers import Route, Workers

Extent = Sequence[int | None]
"""How far a group reaches along each canonical axis; None is all of it."""
T = TypeVar("T")


class Slab:
    """A box of a weight that this worker decides in one round.

    number: of the round.  positions: those elements held here that take part in it, whoever
    decides them.  Where nothing moves there is no route.
    """

    def __init__(
        self, spec: WeightSpec, number: int, positions: Array, where: Array, route: Route | None
    ) -> None:
        self.spec, self.number, self.positions = spec, number, positions
        self._where, self._route = where, route

    def gather(self, values: Array) -> Array:
        """Return the slab, canonical, of one value per place; zero where nobody holds one."""
        received = values if self._route is None else self._route.send(values)
        slab = np.zeros(prod(self.spec.shape), received.dtype)
        slab[self._where] = received
        return slab.reshape(self.spec.shape)

    def scatter(self, slab: Array) -> Array:
        """Return the elements of a slab to those who hold them: the inverse of `gather`."""
        answers: Array = slab.reshape(-1)[self._where]
        return answers if self._route is None else self._route.answer(answers)

    def scores(self, elements: Elements) -> Pooled:
        """Return the scores of a slab's elements."""
        previous = None if elements.previous is None else elements.previous[self.positions]
        return Pooled(
            self.spec,
            self.gather(elements.scores(self.positions)),
            None if previous is None else self.gather(previous),
        )


class Cut:
    """A weight cut into boxes of whole tiles, one for each worker and round.

    shares: say which worker decides an element; without them, who holds it.
    """

    def __init__(
        self, elements: Elements, grid: Grid, shares: Shares | None, workers: Workers
    ) -> None:
        self._elements, self._shares, self._workers = elements, shares, workers
        self.grid = grid
        shape = elements.spec.shape
        self._order = MemoryOrder(shape, tuple(range(len(shape))))
        self.moves = shares is not None and bool(workers.total(np.array([self._away()]))[0])

    @classmethod
    def across(
        cls,
        elements: Elements,
        extent: Extent,
        workers: Workers,
        axes: Sequence[int] | None = None,
    ) -> Cut:
        """Cut a weight between workers across the one axis along which the least must move.

        axes: those to choose from; all along which `extent` is bounded may be cut into rounds.
        """
        shape = elements.spec.shape
        tile = [
            max(length if reach is None else min(reach, length), 1)
            for length, reach in zip(shape, extent, strict=True)
        ]
        tiles = [-(-length // size) for length, size in zip(shape, tile, strict=True)]
        bounded = [axis for axis, reach in enumerate(extent) if reach is not None]
        shares = _shares(elements, tile, tiles, bounded if axes is None else axes, workers)
        others = [axis for axis in bounded if axis != shares.axis]
        second = max(others, key=tiles.__getitem__, default=None)
        grid = Grid(tile, *shares.bounds(tiles), shares.axis, second)
        return cls(elements, grid, shares, workers)

    @property
    def deciders(self) -> list[int]:
        """The workers in the order of what they decide."""
        if self._shares is None:
            return list(range(self._workers.count))
        return [int(worker) for worker in self._shares.order]

    def slabs(self) -> Iterator[Slab]:
        """Yield this worker's slab of each round; all workers must take all of them."""
        for number, positions in enumerate(by_number(self._rounds(), self.grid.rounds)):
            coordinates = self._coordinates(positions)
            owner = self._owner(coordinates)
            low, high = self._box(number)
            where = np.zeros(len(positions), np.int64)
            for axis, along in enumerate(coordinates):
                where *= (high - low)[owner, axis]
                where += along - low[owner, axis]
            route = Route(owner, self._workers) if self.moves else None
            if route is not None:
                where = route.send(where.astype(np.uint32))  # half of a canonical index
            shape = (high - low)[self._workers.rank].tolist()
            spec = replace(self._elements.spec, shape=tuple(shape))
            yield Slab(spec, number, positions, where, route)

    def join(self, slabs: Iterable[Array]) -> Array:
        """Return the groups of all slabs of this worker as one array, filled as they come."""
        coming = iter(slabs)
        head = next(coming)
        low, high = (ends[self._workers.rank] for ends in (self.grid.low, self.grid.high))
        groups = np.empty(self._group_axes((high - low).tolist(), head.ndim), head.dtype)
        for part, slab in zip(self.split(groups), chain([head], coming), strict=True):
            part[...] = slab
        return groups

    def split(self, groups: Array) -> Iterator[Array]:
        """Yield the groups of each slab, as views: the inverse of `join`."""
        begin = self.grid.low[self._workers.rank]
        for number in range(self.grid.rounds):
            low, high = (ends[self._workers.rank] - begin for ends in self.grid.tiles(number))
            some = [slice(*ends) for ends in zip(low.tolist(), high.tolist(), strict=True)]
            yield groups[tuple(self._group_axes(some, groups.ndim))]

    def group_count(self, dimensions: int) -> int:
        """Return how many groups the weight has; `dimensions` are those of an array of them."""
        return prod(self._group_shape(dimensions))

    def group_index(self, index: Array, shape: tuple[int, ...]) -> Array:
        """Turn indices of this worker's groups, of some shape, into those among all groups."""
        low = self._group_axes(self.grid.low[self._workers.rank].tolist(), len(shape))
        where = np.unravel_index(index, shape)
        everywhere = [along + start for along, start in zip(where, low, strict=True)]
        found: Array = np.ravel_multi_index(everywhere, self._group_shape(len(shape)))
        return found

    def _group_shape(self, dimensions: int) -> list[int]:
        tiles: list[int] = self.grid.high.max(axis=0).tolist()
        return self._group_axes(tiles, dimensions)

    def _group_axes(self, along: list[T], dimensions: int) -> list[T]:
        """Return what belongs to the axes of an array of groups, which may have only one."""
        return along if dimensions == len(along) else [along[self.grid.first]]

    def _away(self) -> int:
        """Return how many elements held here another worker decides."""
        return sum(
            int(np.count_nonzero(self._owner(coordinates) != self._workers.rank))
            for _, coordinates in self._all_coordinates()
        )

    def _rounds(self) -> Array:
        """Return the round of each element; not kept, since a byte each is much."""
        rounds = np.empty(self._elements.size, np.uint8)
        for some, coordinates in self._all_coordinates():
            rounds[some] = self.grid.round_of(coordinates, self._owner(coordinates))
        return rounds

    def _all_coordinates(self) -> Iterator[tuple[slice, list[Array]]]:
        for start, stop in pieces(0, self._elements.size, AT_ONCE):
            yield slice(start, stop), self._coordinates(np.arange(start, stop))

    def _coordinates(self, positions: Array) -> list[Array]:
        return self._order.coordinates(self._elements.index(positions))

    def _owner(self, coordinates: Sequence[Array]) -> Array:
        if self._shares is None:
            return np.full(len(coordinates[0]), self._workers.rank)
        axis, tile = self._shares.axis, int(self.grid.tile[self._shares.axis])
        return self._shares.owner(coordinates[axis] // tile)

    def _box(self, number: int) -> tuple[Array, Array]:
        """Return where the elements of a round begin and end, shape (workers, axes)."""
        low, high = (
            np.minimum(ends * self.grid.tile, self._elements.spec.shape)
            for ends in self.grid.tiles(number)
        )
        return low, high


def _shares(
    elements: Elements,
    tile: Sequence[int],
    tiles: Sequence[int],
    axes: Sequence[int],
    workers: Workers,
) -> Shares:
    """Share a weight out along one of some axes: a sample tells how much would move.

    What one worker would have to decide counts too, so that no worker takes all.
    """
    shape = elements.spec.shape
    step = max(elements.size // AT_ONCE, 1)
    index = elements.index(np.arange(0, elements.size, step))
    coordinates = MemoryOrder(shape, tuple(range(len(shape)))).coordinates(index)
    held = np.zeros((1 + len(axes), workers.count), np.int64)
    held[0, workers.rank] = elements.size
    held[1:, workers.rank] = [coordinates[axis].min(initial=shape[axis]) for axis in axes]
    held = workers.total(held)
    ways = [
        Shares.by_size(axis, tiles[axis], held[0], lowest)
        for axis, lowest in zip(axes, held[1:], strict=True)
    ]
    owners = [way.owner(coordinates[way.axis] // tile[way.axis]) for way in ways]
    away = [step * np.count_nonzero(owner != workers.rank) for owner in owners]
    costs = workers.total(np.array(away, np.int64)).tolist()
    for number, way in enumerate(ways):
        costs[number] += way.largest * elements.spec.size // max(tiles[way.axis], 1)
    return min(zip(costs, ways, strict=True), key=lambda each: (each[0], -tiles[each[1].axis]))[1]
