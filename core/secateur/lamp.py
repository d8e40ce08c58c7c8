"""The LAMP score of each group of a weight, on one worker or on many.

The groups are sorted in ranges of their scores, one range after another, so that nobody
sorts a whole weight at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from secateur.digits import DIGIT
from secateur.exchange import Route
from secateur.keys import score_keys
from secateur.layout import Array
from secateur.parallel import pieces
from secateur.scores import Pooled, Ranked
from secateur.workers import Workers

AT_ONCE = 1 << 15
"""Groups that a worker sorts at a time: each takes some hundred bytes."""
MOST_ROUNDS = 255
"""The round of each group is remembered, in a byte."""


def lamp(group: Ranked, workers: Workers | None) -> Ranked:
    """Return the groups ranked by ``s**2 / (the sum of s**2 over itself and all above it)``.

    Summed in float64 from the highest score down, ties in canonical order; a score of zero
    stays zero.
    """
    scores, above = np.zeros(group.size), np.float64(0)
    for places, squares, owner in _ranges(group, workers):
        index = group.index(places)
        if workers is None:
            scores[places], above = _lamp(squares, index, above)
            continue
        route = Route(owner, workers)
        mine, where, answers = route.send(squares), route.send(index), np.empty(0)
        for worker in range(workers.count):
            last = np.zeros(1)
            if worker == workers.rank:
                answers, last[0] = _lamp(mine, where, above)
            above = np.float64(workers.total(last)[0])
        scores[places] = route.answer(answers)
    ranked = Pooled(group.spec, group.canonical(scores), group.in_force)
    return ranked.place(group.count, group.index)


def _ranges(group: Ranked, workers: Workers | None) -> Iterator[tuple[Array, Array, Array]]:
    """Yield the groups in rounds, the highest scores first; those with a score of zero never.

    In a round each worker takes a range of the scores, the first the highest.
    Yields the places of a round's groups, the squares of their scores, and their workers.
    """
    count = workers.count if workers else 1
    rounds = min(-(-group.count // (count * AT_ONCE)), MOST_ROUNDS)
    ranges = _cut(_histogram(group, workers), rounds * count)
    round_of = np.empty(group.size, np.uint8)
    for start, stop in pieces(0, group.size, AT_ONCE):
        squares = _squares(group, slice(start, stop))
        round_of[start:stop] = np.where(squares > 0, ranges[_heads(squares)] // count, rounds)
    for number in range(rounds):
        places = np.flatnonzero(round_of == number)
        squares = _squares(group, places)
        yield places, squares, ranges[_heads(squares)] % count


def _squares(group: Ranked, places: slice | Array) -> Array:
    return np.square(group.scores(places).astype(np.float64))


def _heads(squares: Array) -> Array:
    """Return the highest digit of the keys: equal squares share it."""
    return (score_keys(squares) >> np.uint64(64 - DIGIT)).astype(np.int64)


def _histogram(group: Ranked, workers: Workers | None) -> Array:
    counts = np.zeros(1 << DIGIT, np.int64)
    for start, stop in pieces(0, group.size, AT_ONCE):
        squares = _squares(group, slice(start, stop))
        counts += np.bincount(_heads(squares[squares > 0]), minlength=1 << DIGIT)
    return workers.total(counts) if workers else counts


def _cut(counts: Array, ranges: int) -> Array:
    """Return the range of each digit, the highest first, such that all hold about as many."""
    above = np.cumsum(counts[::-1])[::-1] - counts
    return above * ranges // max(int(counts.sum()), 1)


def _lamp(squares: Array, index: Array, above: np.float64) -> tuple[Array, np.float64]:
    """Return the scores, and the sum of `above` and all squares."""
    best_first = np.lexsort((index, -squares))
    # accumulate adds strictly one after another, unlike a reduction
    at_or_above = np.add.accumulate(np.concatenate([[above], squares[best_first]]))
    scores = np.empty_like(squares)
    scores[best_first] = squares[best_first] / at_or_above[1:]
    return scores, at_or_above[-1]
