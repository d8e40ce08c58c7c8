"""Ranking by the LAMP score, on one worker or on many, for a cut at a known place.

The groups of a weight are sorted in rounds, the highest scores first, so that nobody sorts a
whole weight at once.  A first look at each round keeps only the bounds of its LAMP scores;
they tell on which side of the cut most rounds lie, and only the few that it may fall into
are scored once more, and remembered: about two bytes a group in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from secateur.arrays.chunks import pieces
from secateur.arrays.positions import Positions, by_number, where_among
from secateur.arrays.sortable_bits import score_keys
from secateur.layout import Array
from secateur.selection.groups import RankedGroups
from secateur.workers import Route, Workers

AT_ONCE = 1 << 15
"""Groups that a worker sorts at a time: each takes some hundred bytes."""
MOST_ROUNDS = 255
"""The round of each group is remembered, in a byte."""
SAMPLED = 16
"""Groups for each range that tell where it ends: most ranges come out within a quarter."""
ABOVE, BELOW = 2.0, -1.0
"""Stand for scores, which lie in [0, 1], on either side of the cut."""


def lamp(groups: Sequence[RankedGroups], keep: int, workers: Workers | None) -> list[RankedGroups]:
    """Return the groups of all weights ranked by their LAMP scores, for a cut after `keep`.

    A score is ``s**2 / (the sum of s**2 over itself and all above it in its weight)``, summed
    in float64 from the highest score down, ties in canonical order; a score of zero stays
    zero.  Scores that cannot be at the cut are only told to be above or below it.
    """
    weights = [_Sorted(group, workers) for group in groups]
    bounds = [bound for number, weight in enumerate(weights) for bound in weight.look(number)]
    alive = np.array([bound.alive for bound in bounds], np.int64)
    lowest = _reach(np.array([bound.low for bound in bounds]), alive, keep)
    highest = _reach(np.array([bound.high for bound in bounds]), alive, keep)
    ranked = [_Cut(weight) for weight in weights]
    for bound in bounds:
        if bound.low > highest:
            ranked[bound.weight].decide(bound, ABOVE)
        elif bound.high < lowest:
            ranked[bound.weight].decide(bound, BELOW)
        else:
            ranked[bound.weight].score(bound)
    return [each.place(each.weight.group.count, each.weight.group.index) for each in ranked]


def _reach(ends: Array, alive: Array, keep: int) -> float:
    """Return the highest end such that rounds ending at or above it hold `keep` groups.

    By the lower ends of the rounds that is a lower bound of the score at the cut, by the
    upper ends an upper one; zero where all rounds together hold fewer.
    """
    order = np.argsort(-ends)
    reached = np.cumsum(alive[order]) >= keep
    return float(ends[order][reached.argmax()]) if reached.any() else 0.0


class _Round(NamedTuple):
    """The bounds of one round's scores, over all workers; `above` sums the squares before it."""

    weight: int
    number: int
    above: np.float64
    alive: int
    low: float
    high: float


class _Sorted:
    """The groups of one weight in rounds by their scores; scores of zero are in the last.

    In a round each worker takes a range of the scores, the first the highest.
    """

    def __init__(self, group: RankedGroups, workers: Workers | None) -> None:
        self.group, self._workers = group, workers
        self._count = workers.count if workers else 1
        wanted = -(-group.count // (self._count * AT_ONCE))
        self.rounds = min(wanted, MOST_ROUNDS)
        self._ranges = _Ranges(group, self.rounds * self._count, workers)
        self.round_of = np.empty(group.size, np.uint8)
        for start, stop in pieces(0, group.size, AT_ONCE):
            squares = _squares(group.scores(slice(start, stop)))
            rounds = self._ranges.of(squares, np.arange(start, stop)) // self._count
            self.round_of[start:stop] = np.where(squares > 0, rounds, self.rounds)

    def look(self, weight: int) -> list[_Round]:
        """Return the bounds of each round that holds groups which may be kept."""
        bounds, above = [], np.float64(0)
        for number, positions in enumerate(by_number(self.round_of, self.rounds)):
            _, scores, after = self._score(positions, above)
            alive, low, high = self._bounds(scores, self.group.is_alive(positions))
            if alive:
                bounds.append(_Round(weight, number, above, alive, low, high))
            above = after
        return bounds

    def score(self, positions: Array, above: np.float64) -> Array:
        """Return the scores of this worker's groups in a round."""
        route, scores, _ = self._score(positions, above)
        return scores if route is None else route.answer(scores)

    def _score(self, positions: Array, above: np.float64) -> tuple[Route | None, Array, np.float64]:
        """Return the scores that this worker finds in a round, and the sum after it.

        The route leads back to those whose scores they are.
        """
        scores = self.group.scores(positions)
        if self._workers is None:
            return None, *_lamp(_squares(scores), self.group.index(positions), above)
        owner = self._ranges.of(_squares(scores), positions) % self._count
        route, found = Route(owner, self._workers), np.empty(0)
        mine = _squares(route.send(scores))
        where = route.send(self.group.index(positions).astype(self._ranges.index_dtype))
        for worker in range(self._count):
            last = np.zeros(1)
            if worker == self._workers.rank:
                found, last[0] = _lamp(mine, where, above)
            above = np.float64(self._workers.total(last)[0])
        return route, found, above

    def _bounds(self, scores: Array, alive: Array) -> tuple[int, float, float]:
        """Return how many groups are alive, the lowest score and the highest, over all workers."""
        mine = np.count_nonzero(alive), scores.min(initial=np.inf), scores.max(initial=-np.inf)
        found = np.array([mine], np.float64)
        if self._workers is not None:
            everyone = np.zeros((self._count, 3))
            everyone[self._workers.rank] = found
            found = self._workers.total(everyone)
        return int(found[:, 0].sum()), float(found[:, 1].min()), float(found[:, 2].max())


class _Ranges:
    """Ranges of one weight's groups, the highest scores first, ties in canonical order.

    A sample tells where to cut, so that all hold about as many; any cuts give the same scores.
    """

    def __init__(self, group: RankedGroups, ranges: int, workers: Workers | None) -> None:
        self._group = group
        self.index_dtype = np.min_scalar_type(max(group.count, 1))
        stride = max(group.count // (SAMPLED * max(ranges, 1)), 1)
        positions = np.arange(0, group.size, stride)
        # a fixed step could meet a rhythm in the weight
        positions += np.random.default_rng(stride).integers(0, stride, len(positions))
        positions = np.minimum(positions, group.size - 1)
        squares = _squares(group.scores(positions))
        index = group.index(positions)[squares > 0]
        squares = squares[squares > 0]
        if workers is not None:
            squares, index = (
                np.concatenate(workers.exchange([part] * workers.count))
                for part in (squares, index)
            )
        best_first = np.lexsort((index, -squares))
        steps = np.arange(1, ranges) if len(best_first) else np.empty(0, np.int64)
        cuts = best_first[steps * len(best_first) // max(ranges, 1)]
        distinct, first = np.unique(-squares[cuts], return_index=True)
        self._falling = np.append(distinct, np.inf)
        self._before = np.append(first, len(cuts))
        self._cuts = self._position(np.searchsorted(distinct, -squares[cuts]), index[cuts])

    def of(self, squares: Array, positions: Array) -> Array:
        """Return the range of each of some groups."""
        at = np.searchsorted(self._falling, -squares)
        ranges = self._before[at]
        tied = np.flatnonzero(self._falling[at] == -squares)
        position = self._position(at[tied], self._group.index(positions[tied]))
        ranges[tied] = np.searchsorted(self._cuts, position, side="right")
        return ranges

    def _position(self, at: Array, index: Array) -> Array:
        """Return integers that order like groups whose squares are those of cuts."""
        return at * self._group.count + index


class _Cut(RankedGroups):
    """The groups of one weight on both sides of a cut, exactly scored where it may fall."""

    bits = 64

    def __init__(self, weight: _Sorted) -> None:
        group = weight.group
        super().__init__(group.spec, group.shape, group.axes, group.previous)
        self.weight = weight
        self._sides = np.zeros(weight.rounds + 1)
        self._places, self._scores = np.empty(0, np.int64), np.empty(0)

    def decide(self, bound: _Round, side: float) -> None:
        """Take note that a round lies on one side of the cut."""
        self._sides[bound.number] = side

    def score(self, bound: _Round) -> None:
        """Remember the scores of a round."""
        positions = where_among(self.weight.round_of, bound.number, bound.number)
        scores = self.weight.score(positions, bound.above)
        positions = np.concatenate([self._places, positions])
        order = np.argsort(positions, kind="stable")
        self._places = positions[order]
        self._scores = np.concatenate([self._scores, scores])[order]

    def scores(self, positions: Positions) -> Array:
        found: Array = self._sides[self.weight.round_of[positions]]
        if isinstance(positions, slice):
            first, last = np.searchsorted(self._places, (positions.start, positions.stop))
            found[self._places[first:last] - positions.start] = self._scores[first:last]
        else:
            at = np.searchsorted(self._places, positions)
            held = at < len(self._places)
            held[held] = self._places[at[held]] == positions[held]
            found[held] = self._scores[at[held]]
        return found

    def _score_keys(self, positions: Positions) -> Array:
        return score_keys(self.scores(positions))


def _squares(scores: Array) -> Array:
    return np.square(scores.astype(np.float64))


def _lamp(squares: Array, index: Array, above: np.float64) -> tuple[Array, np.float64]:
    """Return the scores, and the sum of `above` and all squares."""
    best_first = np.lexsort((index, -squares))
    # accumulate adds strictly one after another, unlike a reduction
    at_or_above = np.add.accumulate(np.concatenate([[above], squares[best_first]]))
    scores = np.empty_like(squares)
    scores[best_first] = squares[best_first] / at_or_above[1:]
    return scores, at_or_above[-1]
