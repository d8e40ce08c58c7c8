"""Bring whole groups of a sharded weight together, in rounds, each worker deciding some.

No worker gathers a weight: in each round a worker has a small part of the groups that it
decides, and groups that one worker holds whole stay there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from math import prod
from typing import TypeVar

import numpy as np

from secateur.adapter import WeightSpec
from secateur.arrays import sizes
from secateur.arrays.chunks import pieces
from secateur.arrays.positions import MemoryOrder, by_number
from secateur.components.patterns import Extent, grid_of, tile_of
from secateur.layout import Array
from secateur.masks.partition import AxisPartition, Grid
from secateur.selection.elements import Elements
from secateur.selection.groups import Pooled
from secateur.workers import Route, Workers

T = TypeVar("T")


class RoundRegion:
    """The region of a weight that this worker decides in one round.

    Args:
        spec: The weight, with the shape of the region.
        number: The number of the round.
        positions: The elements held here that take part in the round, wherever decided.
        where: Where in the flat region the elements lie that this worker receives.
        route: The way to the workers that decide the elements; None where nothing moves.

    """

    def __init__(
        self, spec: WeightSpec, number: int, positions: Array, where: Array, route: Route | None
    ) -> None:
        self.spec, self.number, self.positions = spec, number, positions
        self._where, self._route = where, route

    def gather(self, values: Array) -> Array:
        """Return the region, canonical, of one value per position; zero where there is none."""
        received = values if self._route is None else self._route.send(values)
        region = np.zeros(prod(self.spec.shape), received.dtype)
        region[self._where] = received
        return region.reshape(self.spec.shape)

    def scatter(self, region: Array) -> Array:
        """Return the values of the elements held here: the inverse of `gather`."""
        answers: Array = region.reshape(-1)[self._where]
        return answers if self._route is None else self._route.answer(answers)

    def scores(self, elements: Elements) -> Pooled:
        """Return the scores of the region's elements."""
        previous = None if elements.previous is None else elements.previous[self.positions]
        return Pooled(
            self.spec,
            self.gather(elements.scores(self.positions)),
            None if previous is None else self.gather(previous),
        )


class Rounds:
    """A weight divided into regions of whole tiles, one for each worker and round.

    Args:
        elements: What this worker holds.
        grid: The regions.
        partition: Which worker decides an element; None where each decides what it holds.
        workers: The workers.

    """

    def __init__(
        self,
        elements: Elements,
        grid: Grid,
        partition: AxisPartition | None,
        workers: Workers,
    ) -> None:
        self._elements, self._partition, self._workers = elements, partition, workers
        self.grid = grid
        shape = elements.spec.shape
        self._order = MemoryOrder(shape, tuple(range(len(shape))))
        self.moves = partition is not None and bool(workers.total(np.array([self._away()]))[0])

    @classmethod
    def across(
        cls,
        elements: Elements,
        extent: Extent,
        workers: Workers,
        axes: Sequence[int] | None = None,
    ) -> Rounds:
        """Divide a weight between workers along the one axis that lets the fewest elements move.

        Args:
            elements: What this worker holds.
            extent: How far a group reaches along each axis.
            workers: The workers.
            axes: The axes to choose from; by default all along which `extent` is bounded, or
                the first where a group is the whole weight.

        """
        shape = elements.spec.shape
        tile, tiles = tile_of(extent, shape), grid_of(extent, shape)
        bounded = [axis for axis, reach in enumerate(extent) if reach is not None]
        partition = _partition(elements, tile, tiles, axes or bounded or [0], workers)
        others = [axis for axis in bounded if axis != partition.axis]
        second = max(others, key=tiles.__getitem__, default=None)
        grid = Grid(tile, *partition.bounds(tiles), partition.axis, second)
        return cls(elements, grid, partition, workers)

    @property
    def deciders(self) -> list[int]:
        """The workers in the order of what they decide."""
        if self._partition is None:
            return list(range(self._workers.count))
        return [int(worker) for worker in self._partition.order]

    def regions(self) -> Iterator[RoundRegion]:
        """Yield this worker's region of each round; all workers must take all of them."""
        for number, positions in enumerate(by_number(self._rounds(), self.grid.rounds)):
            coordinates = self._coordinates(positions)
            owner = self._owner(coordinates)
            low, high = self._bounds(number)
            where = np.zeros(len(positions), np.int64)
            for axis, along in enumerate(coordinates):
                where *= (high - low)[owner, axis]
                where += along - low[owner, axis]
            route = Route(owner, self._workers) if self.moves else None
            if route is not None:
                where = route.send(where.astype(np.uint32))  # half of a canonical index
            shape = (high - low)[self._workers.rank].tolist()
            spec = replace(self._elements.spec, shape=tuple(shape))
            yield RoundRegion(spec, number, positions, where, route)

    def tiles(self, number: int) -> tuple[int, ...]:
        """Return how many tiles this worker decides in a round, along each axis."""
        low, high = (ends[self._workers.rank] for ends in self.grid.tiles(number))
        return tuple((high - low).tolist())

    def join(self, parts: Iterable[Array]) -> Array:
        """Return the groups of all regions of this worker as one array, filled as they come."""
        coming = iter(parts)
        first = next(coming)
        low, high = (ends[self._workers.rank] for ends in (self.grid.low, self.grid.high))
        groups = np.empty(self._group_axes((high - low).tolist(), first.ndim), first.dtype)
        for target, part in zip(self.split(groups), chain([first], coming), strict=True):
            target[...] = part
        return groups

    def split(self, groups: Array) -> Iterator[Array]:
        """Yield the groups of each region, as views: the inverse of `join`."""
        begin = self.grid.low[self._workers.rank]
        for number in range(self.grid.rounds):
            low, high = (ends[self._workers.rank] - begin for ends in self.grid.tiles(number))
            some = [slice(*ends) for ends in zip(low.tolist(), high.tolist(), strict=True)]
            yield groups[tuple(self._group_axes(some, groups.ndim))]

    def group_count(self, dimensions: int) -> int:
        """Return how many groups the weight has, given the rank of an array of them."""
        return prod(self._group_shape(dimensions))

    def group_index(self, index: Array, shape: tuple[int, ...]) -> Array:
        """Turn indices among this worker's groups, of some shape, into those among all groups."""
        low = self._group_axes(self.grid.low[self._workers.rank].tolist(), len(shape))
        where = np.unravel_index(index, shape)
        everywhere = [along + start for along, start in zip(where, low, strict=True)]
        found: Array = np.ravel_multi_index(everywhere, self._group_shape(len(shape)))
        return found

    def _group_shape(self, dimensions: int) -> list[int]:
        tiles: list[int] = self.grid.high.max(axis=0).tolist()
        return self._group_axes(tiles, dimensions)

    def _group_axes(self, along: list[T], dimensions: int) -> list[T]:
        """Return the entries for the axes of an array of groups, which may have only one."""
        return along if dimensions == len(along) else [along[self.grid.first]]

    def _away(self) -> int:
        """Return how many elements held here another worker decides."""
        return sum(
            int(np.count_nonzero(self._owner(coordinates) != self._workers.rank))
            for _, coordinates in self._all_coordinates()
        )

    def _rounds(self) -> Array:
        """Return the round of each element; computed each time, to save a byte for each."""
        rounds = np.empty(self._elements.size, np.uint8)
        for some, coordinates in self._all_coordinates():
            rounds[some] = self.grid.round_of(coordinates, self._owner(coordinates))
        return rounds

    def _all_coordinates(self) -> Iterator[tuple[slice, list[Array]]]:
        for start, stop in pieces(0, self._elements.size, sizes.GATHERED):
            yield slice(start, stop), self._coordinates(np.arange(start, stop))

    def _coordinates(self, positions: Array) -> list[Array]:
        return self._order.coordinates(self._elements.index(positions))

    def _owner(self, coordinates: Sequence[Array]) -> Array:
        if self._partition is None:
            return np.full(len(coordinates[0]), self._workers.rank)
        axis = self._partition.axis
        return self._partition.owner(coordinates[axis] // int(self.grid.tile[axis]))

    def _bounds(self, number: int) -> tuple[Array, Array]:
        """Return where the elements of a round begin and end, shape (workers, axes)."""
        low, high = (
            np.minimum(ends * self.grid.tile, self._elements.spec.shape)
            for ends in self.grid.tiles(number)
        )
        return low, high


def _partition(
    elements: Elements,
    tile: Sequence[int],
    tiles: Sequence[int],
    axes: Sequence[int],
    workers: Workers,
) -> AxisPartition:
    """Return the partition along one of some axes that costs least, estimated by a sample.

    The most that one worker would have to decide is a cost too, so that no worker takes all.
    """
    shape = elements.spec.shape
    step = max(elements.size // sizes.GATHERED, 1)
    index = elements.index(np.arange(0, elements.size, step))
    coordinates = MemoryOrder(shape, tuple(range(len(shape)))).coordinates(index)
    known = np.zeros((1 + len(axes), workers.count), np.int64)
    known[0, workers.rank] = elements.size
    known[1:, workers.rank] = [coordinates[axis].min(initial=shape[axis]) for axis in axes]
    known = workers.total(known)
    ways = [
        AxisPartition.by_size(axis, tiles[axis], known[0], lowest)
        for axis, lowest in zip(axes, known[1:], strict=True)
    ]
    owners = [way.owner(coordinates[way.axis] // tile[way.axis]) for way in ways]
    away = [step * np.count_nonzero(owner != workers.rank) for owner in owners]
    costs = workers.total(np.array(away, np.int64)).tolist()
    for number, way in enumerate(ways):
        costs[number] += way.largest * elements.spec.size // max(tiles[way.axis], 1)
    return min(zip(costs, ways, strict=True), key=lambda each: (each[0], -tiles[each[1].axis]))[1]
