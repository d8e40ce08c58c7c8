"""Ranking by the LAMP score, on one worker or on many, near the threshold of a selection.

The groups of a weight are sorted in rounds, the highest scores first, so that no worker sorts
a whole weight at once.  A first look at each round remembers only the bounds of its LAMP
scores; they show on which side of the threshold most rounds lie, and only the few that it may
fall into are scored once more, and remembered: about two bytes a group in all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from secateur.arrays import sizes
from secateur.arrays.chunks import pieces
from secateur.arrays.positions import Positions, by_number, where_among
from secateur.arrays.sortable_bits import score_keys
from secateur.layout import Array
from secateur.selection.groups import RankedGroups
from secateur.workers import Route, Workers

MOST_ROUNDS = 255
"""The round of each group is remembered, in a byte."""
SAMPLED = 16
"""Groups of the sample for each range: most ranges come out within a quarter of their length."""
LEAST, MOST, SAFE = 2.0**-480, 2.0**480, 450
"""Where the largest score of a weight is not between the first two, scores are scaled such that
it has the exponent `SAFE`."""
ABOVE, BELOW = 2.0, -1.0
"""Stand for scores, which lie in [0, 1], on either side of the threshold."""


def lamp(groups: Sequence[RankedGroups], keep: int, workers: Workers) -> list[RankedGroups]:
    """Return the groups of all weights ranked by their LAMP scores, to keep `keep` of them.

    A score is ``s**2 / (the sum of s**2 over itself and all above it in its weight)``, summed
    in float64 from the highest score down, ties in canonical order; a score of zero stays
    zero.  Of scores that cannot be at the threshold only the side is known.
    """
    weights = [_Sorted(group, workers) for group in groups]
    bounds = [bound for number, weight in enumerate(weights) for bound in weight.look(number)]
    alive = np.array([bound.alive for bound in bounds], np.int64)
    lowest = _reach(np.array([bound.low for bound in bounds]), alive, keep)
    highest = _reach(np.array([bound.high for bound in bounds]), alive, keep)
    ranked = [_NearThreshold(weight) for weight in weights]
    for bound in bounds:
        if bound.low > highest:
            ranked[bound.weight].decide(bound, ABOVE)
        elif bound.high < lowest:
            ranked[bound.weight].decide(bound, BELOW)
        else:
            ranked[bound.weight].score(bound)
    return list(ranked)


def _reach(ends: Array, alive: Array, keep: int) -> float:
    """Return the highest end such that rounds ending at or above it hold `keep` groups.

    From the lower ends of the rounds this is a lower bound of the threshold, from the upper
    ends an upper one; zero where all rounds together hold fewer.
    """
    order = np.argsort(-ends)
    reached = np.cumsum(alive[order]) >= keep
    return float(ends[order][reached.argmax()]) if reached.any() else 0.0


class _Round(NamedTuple):
    """The bounds of one round's scores over all workers; `above` sums the squares before it."""

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

    def __init__(self, group: RankedGroups, workers: Workers) -> None:
        self.group, self._workers, self._exponent = group, workers, 0
        wanted = -(-group.count // (workers.count * sizes.GATHERED))
        self.rounds = min(wanted, MOST_ROUNDS)
        self.round_of = np.empty(group.size, np.uint8)
        largest = self._sort()
        if (0 < largest <= LEAST or largest >= MOST) and np.isfinite(largest):
            # a power of two changes no LAMP score, and keeps squares in the range of float64
            self._exponent = min(SAFE - int(np.frexp(largest)[1]), 1023)
            self._sort()

    def _sort(self) -> float:
        """Find the round of each group; return the largest magnitude of 64-bit scores."""
        group, workers, largest = self.group, self._workers, 0.0
        self._ranges = _Ranges(group, self._squares, self.rounds * workers.count, workers)
        for start, stop in pieces(0, group.size, sizes.GATHERED):
            scores = group.scores(slice(start, stop))
            if group.bits == 64:
                largest = max(largest, float(scores.max()), -float(scores.min()))
            squares = self._squares(scores)
            rounds = self._ranges.of(squares, np.arange(start, stop)) // workers.count
            self.round_of[start:stop] = np.where(squares > 0, rounds, self.rounds)
        return float(workers.largest(np.array([largest]))[0])

    def _squares(self, scores: Array) -> Array:
        scores = scores.astype(np.float64)
        with np.errstate(over="ignore", under="ignore"):
            return np.square(np.ldexp(scores, self._exponent) if self._exponent else scores)

    def look(self, weight: int) -> list[_Round]:
        """Return the bounds of each round that has groups which may be kept."""
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

        The route, where there are several workers, leads back to the owners of the scores.
        """
        workers, scores = self._workers, self.group.scores(positions)
        if workers.count == 1:
            return None, *_lamp(self._squares(scores), self.group.index(positions), above)
        owner = self._ranges.of(self._squares(scores), positions) % workers.count
        route, found = Route(owner, workers), np.empty(0)
        mine = self._squares(route.send(scores))
        where = route.send(self.group.index(positions).astype(self._ranges.index_dtype))
        for worker in range(workers.count):
            last = np.zeros(1)
            if worker == workers.rank:
                found, last[0] = _lamp(mine, where, above)
            above = np.float64(workers.total(last)[0])
        return route, found, above

    def _bounds(self, scores: Array, alive: Array) -> tuple[int, float, float]:
        """Return how many groups are alive, the lowest score and the highest, over all workers."""
        low, high = scores.min(initial=np.inf), scores.max(initial=-np.inf)
        count = self._workers.total(np.array([np.count_nonzero(alive)], np.int64))
        negated_low, high = self._workers.largest(np.array([-low, high]))
        return int(count[0]), float(-negated_low), float(high)


class _Ranges:
    """Ranges of one weight's groups, the highest scores first, ties in canonical order.

    A sample chooses their ends, so that all have about as many groups; any ends give the same
    scores.
    """

    def __init__(
        self,
        group: RankedGroups,
        squares_of: Callable[[Array], Array],
        ranges: int,
        workers: Workers,
    ) -> None:
        self._group = group
        self.index_dtype = np.min_scalar_type(max(group.count, 1))
        stride = max(group.count // (SAMPLED * max(ranges, 1)), 1)
        positions = np.arange(0, group.size, stride)
        # a fixed step could meet a period in the weight
        positions += np.random.default_rng(stride).integers(0, stride, len(positions))
        positions = np.minimum(positions, group.size - 1)
        squares = squares_of(group.scores(positions))
        index = group.index(positions)[squares > 0]
        squares = squares[squares > 0]
        squares, index = (
            np.concatenate(workers.exchange([part] * workers.count)) for part in (squares, index)
        )
        best_first = np.lexsort((index, -squares))
        steps = np.arange(1, ranges) if len(best_first) else np.empty(0, np.int64)
        ends = best_first[steps * len(best_first) // max(ranges, 1)]
        distinct, first = np.unique(-squares[ends], return_index=True)
        self._falling = np.append(distinct, np.inf)
        self._before = np.append(first, len(ends))
        self._ends = self._rank(np.searchsorted(distinct, -squares[ends]), index[ends])

    def of(self, squares: Array, positions: Array) -> Array:
        """Return the range of each of some groups."""
        at = np.searchsorted(self._falling, -squares)
        ranges = self._before[at]
        tied = np.flatnonzero(self._falling[at] == -squares)
        rank = self._rank(at[tied], self._group.index(positions[tied]))
        ranges[tied] = np.searchsorted(self._ends, rank, side="right")
        return ranges

    def _rank(self, at: Array, index: Array) -> Array:
        """Return integers that order like groups whose squares are those of range ends."""
        return at * self._group.count + index


class _NearThreshold(RankedGroups):
    """The groups of one weight, exactly scored near the threshold; elsewhere its side is known."""

    bits = 64

    def __init__(self, weight: _Sorted) -> None:
        group = weight.group
        super().__init__(group.spec, group.shape, group.axes, group.previous)
        self.same_groups_as(group)
        self.weight = weight
        self._sides = np.zeros(weight.rounds + 1)
        self._positions, self._scores = np.empty(0, np.int64), np.empty(0)

    def decide(self, bound: _Round, side: float) -> None:
        """Record that a round lies on one side of the threshold."""
        self._sides[bound.number] = side

    def score(self, bound: _Round) -> None:
        """Remember the scores of a round."""
        positions = where_among(self.weight.round_of, bound.number, bound.number)
        scores = self.weight.score(positions, bound.above)
        positions = np.concatenate([self._positions, positions])
        order = np.argsort(positions, kind="stable")
        self._positions = positions[order]
        self._scores = np.concatenate([self._scores, scores])[order]

    def scores(self, positions: Positions) -> Array:
        found: Array = self._sides[self.weight.round_of[positions]]
        if isinstance(positions, slice):
            first, last = np.searchsorted(self._positions, (positions.start, positions.stop))
            found[self._positions[first:last] - positions.start] = self._scores[first:last]
        else:
            at = np.searchsorted(self._positions, positions)
            known = at < len(self._positions)
            known[known] = self._positions[at[known]] == positions[known]
            found[known] = self._scores[at[known]]
        return found

    def _score_keys(self, positions: Positions) -> Array:
        return score_keys(self.scores(positions))


def _lamp(squares: Array, index: Array, above: np.float64) -> tuple[Array, np.float64]:
    """Return the scores, and the sum of `above` and all squares."""
    best_first = np.lexsort((index, -squares))
    # accumulate adds strictly one after another, unlike a reduction
    at_or_above = np.add.accumulate(np.concatenate([[above], squares[best_first]]))
    scores = np.empty_like(squares)
    scores[best_first] = squares[best_first] / at_or_above[1:]
    return scores, at_or_above[-1]
