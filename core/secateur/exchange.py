"""Bring whole groups of a sharded weight together, piece by piece, each worker taking some.

Nobody gathers a weight: in each round a worker holds a small part of what it decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from math import prod

import numpy as np

from secateur.adapter import WeightSpec
from secateur.layout import Array
from secateur.parallel import pieces
from secateur.places import by_number
from secateur.scores import Elements, Pooled
from secateur.workers import Workers

Extent = Sequence[int | None]
"""How far a group reaches along each canonical axis; None is all of it."""
AT_ONCE = 1 << 15
"""Elements that a worker brings together in a round: each takes some hundred bytes."""
MOST_ROUNDS = 256
"""The round of each element is remembered, in a byte."""


class Route:
    """Sends one number per local element to the worker that owns it, and answers back.

    owner: the worker of each local element.
    """

    def __init__(self, owner: Array, workers: Workers) -> None:
        self._order = np.argsort(owner, kind="stable")
        self._cuts = np.cumsum(np.bincount(owner, minlength=workers.count))[:-1]
        self._workers = workers
        counts = np.diff([0, *self._cuts, len(owner)])
        arriving = workers.exchange(np.split(counts, workers.count))
        self._received = np.cumsum(np.concatenate(arriving))[:-1]

    def send(self, values: Array) -> Array:
        """Return what all workers sent here, one after another."""
        return np.concatenate(self._workers.exchange(np.split(values[self._order], self._cuts)))

    def answer(self, values: Array) -> Array:
        """Return, for every local element, the answer to what was sent for it."""
        back = np.concatenate(self._workers.exchange(np.split(values, self._received)))
        answers = np.empty_like(back)
        answers[self._order] = back
        return answers


class Slab:
    """Whole groups of a weight, side by side, that this worker decides in one round.

    places: those elements held here that take part in the round, whoever decides them.
    """

    def __init__(self, spec: WeightSpec, places: Array, where: Array, route: Route) -> None:
        self.spec, self.places = spec, places
        self._where, self._route = where, route

    def gather(self, values: Array) -> Array:
        """Return the slab, canonical, of one value per place."""
        received = self._route.send(values)
        slab = np.empty(prod(self.spec.shape), received.dtype)
        slab[self._where] = received
        return slab.reshape(self.spec.shape)

    def scatter(self, slab: Array) -> Array:
        """Return the elements of a slab to those who hold them: the inverse of `gather`."""
        return self._route.answer(slab.reshape(-1)[self._where])

    def scores(self, elements: Elements) -> Pooled:
        """Return the scores of a slab's elements."""
        in_force = None if elements.in_force is None else elements.in_force[self.places]
        return Pooled(
            self.spec,
            self.gather(elements.scores(self.places)),
            None if in_force is None else self.gather(in_force),
        )


class Cut:
    """A weight cut across one axis into slabs of whole groups, some for each worker.

    A worker's slabs lie side by side, one for each round.
    """

    def __init__(self, elements: Elements, extent: Extent, workers: Workers) -> None:
        self._elements, self._workers = elements, workers
        shape = elements.spec.shape
        grid = [
            1 if reach is None else -(-length // reach)
            for length, reach in zip(shape, extent, strict=True)
        ]
        self._axis = axis = max(
            (axis for axis, reach in enumerate(extent) if reach is not None), key=grid.__getitem__
        )
        self._grid, self._tiles, self._reach = tuple(grid), grid[axis], extent[axis] or 1
        self._along, self._below = shape[axis], prod(shape[axis + 1 :])
        wanted = -(-elements.spec.size // (workers.count * AT_ONCE))
        most = min(-(-self._tiles // workers.count), MOST_ROUNDS)
        self._rounds = max(min(wanted, most), 1)
        self._round = np.empty(elements.size, np.uint8)
        for start, stop in pieces(0, elements.size, AT_ONCE):
            index = elements.index(np.arange(start, stop))
            self._round[start:stop] = self._slab(index) % self._rounds

    def slabs(self) -> Iterator[Slab]:
        """Yield this worker's slab of each round; all workers must take all of them."""
        for number, places in enumerate(by_number(self._round, self._rounds)):
            index = self._elements.index(places)
            route = Route(self._slab(index) // self._rounds, self._workers)
            mine = self._workers.rank * self._rounds + number
            start, stop = (min(self._first(n) * self._reach, self._along) for n in (mine, mine + 1))
            shape = list(self._elements.spec.shape)
            shape[self._axis] = stop - start
            rows, inner = np.divmod(route.send(index), self._below)
            outer, along = np.divmod(rows, self._along)
            where = (outer * (stop - start) + along - start) * self._below + inner
            yield Slab(replace(self._elements.spec, shape=tuple(shape)), places, where, route)

    def join(self, slabs: Iterable[Array]) -> Array:
        """Return the groups of all slabs of this worker as one array, filled as they come."""
        coming = iter(slabs)
        head = next(coming)
        shape, axis = list(head.shape), self._group_axis(head.ndim)
        first = self._workers.rank * self._rounds
        shape[axis] = self._first(first + self._rounds) - self._first(first)
        groups = np.empty(shape, head.dtype)
        for part, slab in zip(self.split(groups), chain([head], coming), strict=True):
            part[...] = slab
        return groups

    def split(self, groups: Array) -> Iterator[Array]:
        """Yield the groups of each slab, as views: the inverse of `join`."""
        axis, first = self._group_axis(groups.ndim), self._workers.rank * self._rounds
        ends = [self._first(first + number) - self._first(first) for number in range(self._rounds)]
        yield from np.split(groups, ends[1:], axis)

    def group_count(self, dimensions: int) -> int:
        """Return how many groups the weight has; `dimensions` are those of an array of them."""
        return prod(self._group_shape(dimensions))

    def group_index(self, index: Array, shape: tuple[int, ...]) -> Array:
        """Turn indices of this worker's groups, of some shape, into those among all groups."""
        where = list(np.unravel_index(index, shape))
        axis = self._group_axis(len(shape))
        where[axis] = where[axis] + self._first(self._workers.rank * self._rounds)
        return np.ravel_multi_index(where, self._group_shape(len(shape)))

    def _slab(self, index: Array) -> Array:
        """Return the number of the slab of each element, over all workers and rounds."""
        tile = index // self._below % self._along // self._reach
        return tile * (self._workers.count * self._rounds) // self._tiles

    def _first(self, slab: int) -> int:
        """Return the first tile of a slab: the inverse of `_slab`."""
        return -(-slab * self._tiles // (self._workers.count * self._rounds))

    def _group_axis(self, dimensions: int) -> int:
        return self._axis if dimensions == len(self._grid) else 0

    def _group_shape(self, dimensions: int) -> tuple[int, ...]:
        return self._grid if dimensions == len(self._grid) else (self._tiles,)
