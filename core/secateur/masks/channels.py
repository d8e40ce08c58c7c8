"""Channels of a sharded weight: sums go from worker to worker, and elements stay.

A sum of squares is added up in canonical order.  Where each channel lies with one worker, or
the workers' elements follow one another in that order, no element moves; elsewhere whole
channels are brought together.
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from secateur.arrays import sizes
from secateur.arrays.chunks import pieces
from secateur.arrays.positions import MemoryOrder
from secateur.layout import Array
from secateur.masks.exchange import RoundRegion, Rounds
from secateur.masks.grouping import Grouping
from secateur.masks.partition import Grid
from secateur.selection.elements import Elements
from secateur.selection.groups import Pooled
from secateur.selection.norms import Pooling, add_up, norms, start_of
from secateur.workers import Workers


class Channels(Grouping):
    """The slices of a weight along `axis`, of which each worker decides a range.

    Args:
        elements: The elements.
        axis: The axis.
        workers: The processes that shard the weight.
        pooling: How the scores of a channel become one.
        divisor: What each score is divided by.

    """

    def __init__(
        self,
        elements: Elements,
        axis: int,
        workers: Workers,
        pooling: Pooling = "l2",
        divisor: float = 1.0,
    ) -> None:
        self._pooling, self._divisor = pooling, divisor
        self._elements, self._axis, self._workers = elements, axis, workers
        shape = elements.spec.shape
        self._order = MemoryOrder(shape, tuple(range(len(shape))))
        self._others = [other for other in range(len(shape)) if other != axis]
        # pieces across the slowest axis that varies follow one another in canonical order
        self._slowest = next((o for o in self._others if shape[o] > 1), self._others[0])
        across = (axis, self._slowest)
        extent = [1 if other in across else None for other in range(len(shape))]
        self._rounds = Rounds.across(elements, extent, workers, [axis])
        # the workers whose elements follow one another, where whole channels would have to move
        self._chain: list[int] = []
        if self._rounds.moves:
            self._use_chain()

    def ranked(self) -> Pooled:
        """Return the channels that this worker decides, ranked by their scores."""
        add_up = self._from_worker_to_worker if self._chain else self._together
        begin, sums, alive = add_up(1.0)
        previous = None if self._elements.previous is None else alive > 0
        found = norms(
            self._elements,
            lambda scale: sums if scale == 1 else add_up(scale)[1],
            self._workers,
            self._pooling,
        )
        channels = Pooled(self._elements.spec, found / self._divisor, previous)
        count = self._elements.spec.shape[self._axis]
        return channels.as_part_of(count, lambda index: index + begin)

    def expand(self, kept: Array) -> Array:
        """Return the mask of the elements held here, from those of the channels decided here."""
        received = self._workers.exchange([kept] * self._workers.count)
        order = range(self._workers.count) if self._chain else self._rounds.deciders
        everywhere = np.concatenate([received[worker] for worker in order])
        mask = np.empty(self._elements.size, bool)
        for start, stop in pieces(0, len(mask), sizes.GATHERED):
            mask[start:stop] = everywhere[self._coordinates(start, stop)[self._axis]]
        return mask

    def _together(self, scale: float) -> tuple[int, Array, Array]:
        """Return the first channel of this worker, and for each its sum and whether it is alive."""
        begin, end = (
            int(ends[self._workers.rank, self._axis])
            for ends in (self._rounds.grid.low, self._rounds.grid.high)
        )
        found = self._start(end - begin)
        for region in self._rounds.regions():
            some = self._channels(region.number)
            self._add(region, found[:, some.start - begin : some.stop - begin], scale)
        return begin, found[0], found[1]

    def _from_worker_to_worker(self, scale: float) -> tuple[int, Array, Array]:
        """Return what `_together` does; each worker adds to some channels and passes them on."""
        workers, grid = self._workers, self._rounds.grid
        steps, count = grid.steps[0], workers.count
        rounds = grid.rounds // steps
        turn, regions = self._chain.index(workers.rank), self._rounds.regions()
        carried, done = np.empty(0), [np.empty((2, 0))]
        for step in range(steps + count - 1):
            send_buffers = [np.empty(0)] * count
            if 0 <= step - turn < steps:
                some = self._channels((step - turn) * rounds)
                found = carried if turn else self._start(len(some)).reshape(-1)
                for region in islice(regions, rounds):
                    self._add(region, found.reshape(2, -1), scale)
                last = turn + 1 == count
                send_buffers[(step - turn) * count // steps if last else self._chain[turn + 1]] = (
                    found
                )
            received = workers.exchange(send_buffers)
            carried = received[self._chain[turn - 1]]
            done.append(received[self._chain[-1]].reshape(2, -1))
        first = min(-(-workers.rank * steps // count), steps - 1)
        sums, alive = np.concatenate(done, axis=1)
        return self._channels(first * rounds).start, sums, alive

    def _add(self, region: RoundRegion, found: Array, scale: float) -> None:
        scores = region.scores(self._elements)
        add_up(scores, self._axis, found[0], scale, self._pooling)
        if scores.previous is not None:
            found[1] += scores.previous.any(axis=tuple(self._others))

    def _start(self, count: int) -> Array:
        """Return, for some channels, their sums and how many are alive, before any is seen."""
        return np.repeat([[start_of(self._pooling)], [0.0]], count, axis=1)

    def _channels(self, number: int) -> range:
        """Return the channels of this worker in a round."""
        low, high = self._rounds.grid.tiles(number)
        return range(*(int(ends[self._workers.rank, self._axis]) for ends in (low, high)))

    def _coordinates(self, start: int, stop: int) -> list[Array]:
        return self._order.coordinates(self._elements.index(np.arange(start, stop)))

    def _use_chain(self) -> None:
        """Leave all elements where they are, if those of one worker follow another's."""
        spec, workers = self._elements.spec, self._workers
        ends = np.zeros((2, workers.count), np.int64)
        ends[:, workers.rank] = spec.size, 0
        for start, stop in pieces(0, self._elements.size, sizes.GATHERED):
            where = self._coordinates(start, stop)
            rank = np.zeros(stop - start, np.int64)  # in the order in which sums are added up
            for axis in (*self._others, self._axis):
                rank = rank * spec.shape[axis] + where[axis]
            lowest, highest = ends[:, workers.rank]
            ends[:, workers.rank] = min(lowest, rank.min()), max(highest, rank.max() + 1)
        low, high = workers.total(ends)
        chain = np.argsort(low, kind="stable")
        if (low[chain][1:] < high[chain][:-1]).any():
            return
        self._chain = chain.tolist()
        layer = spec.size // spec.shape[self._slowest]
        tiles = self._rounds.grid.high.max(axis=0)
        begin = np.zeros((workers.count, len(tiles)), np.int64)
        end = np.full_like(begin, tiles)
        begin[:, self._slowest] = low // layer
        end[:, self._slowest] = np.maximum(-(-high // layer), low // layer)
        grid = Grid(self._rounds.grid.tile.tolist(), begin, end, self._axis, self._slowest)
        self._rounds = Rounds(self._elements, grid, None, workers)
