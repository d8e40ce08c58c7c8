"""Bring whole groups of a sharded weight together, each worker taking a slab of the weight.

Nobody gathers a weight: what a worker sends and receives is about the size of its shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from secateur.adapter import WeightSpec
from secateur.layout import Array
from secateur.workers import Workers

Extent = Sequence[int | None]
"""How far a group reaches along each canonical axis; None is all of it."""


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
    """The part of one weight that this worker decides: whole groups, side by side.

    index: the canonical index of each element held here.
    """

    def __init__(self, spec: WeightSpec, extent: Extent, index: Array, workers: Workers) -> None:
        tiles = {
            axis: -(-length // reach)
            for axis, (length, reach) in enumerate(zip(spec.shape, extent, strict=True))
            if reach is not None
        }
        self.axis = axis = max(tiles, key=tiles.__getitem__)
        reach, length = extent[axis] or 1, spec.shape[axis]
        bounds = [
            min(reach * -(-worker * tiles[axis] // workers.count), length)
            for worker in (workers.rank, workers.rank + 1)
        ]
        self.start, stop = bounds
        self.shape = (*spec.shape[:axis], stop - self.start, *spec.shape[axis + 1 :])
        below = prod(spec.shape[axis + 1 :])
        tile = index // below % length // reach
        self._route = Route(tile * workers.count // max(tiles[axis], 1), workers)
        asked = self._route.send(index)
        here = asked // below % length - self.start
        outer = asked // (below * length) if length else asked
        self._place = (outer * self.shape[axis] + here) * below + asked % below
        whole = [tiles.get(other, 1) for other in range(len(spec.shape))]
        self._first, self._whole = self.start // reach, whole

    def gather(self, values: Array) -> Array:
        """Return the slab of what is held in shards, in canonical layout."""
        received = self._route.send(values)
        slab = np.empty(prod(self.shape), received.dtype)
        slab[self._place] = received
        return slab.reshape(self.shape)

    def scatter(self, slab: Array) -> Array:
        """Return the elements of a slab to those who hold them: the inverse of `gather`."""
        return self._route.answer(slab.reshape(-1)[self._place])

    def group_index(self, index: Array, shape: tuple[int, ...]) -> Array:
        """Turn indices of the slab's groups, of some shape, into those among all groups."""
        whole = self.group_shape(shape)
        where = list(np.unravel_index(index, shape))
        axis = self.axis if len(shape) == len(self._whole) else 0
        where[axis] = where[axis] + self._first
        return np.ravel_multi_index(where, whole)

    def group_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of all groups, where those of the slab have some shape."""
        if len(shape) == len(self._whole):
            return tuple(self._whole)
        return (self._whole[self.axis],)
