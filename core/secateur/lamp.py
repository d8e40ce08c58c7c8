"""The LAMP score of each group of a weight, on one worker or on many."""

from __future__ import annotations

import numpy as np

from secateur.digits import DIGIT, kth_largest
from secateur.exchange import Route
from secateur.keys import score_keys
from secateur.layout import Array
from secateur.scores import Pooled, Ranked
from secateur.workers import Workers


def lamp(group: Ranked, workers: Workers | None) -> Ranked:
    """Return the groups ranked by ``s**2 / (the sum of s**2 over itself and all above it)``.

    Summed in float64 from the highest score down, ties in canonical order; a score of zero
    stays zero.
    """
    squares = np.square(group.scores(slice(0, group.size)).astype(np.float64))
    index = group.index(np.arange(group.size))
    if workers is None:
        scores = _lamp(squares, index, np.float64(0))[0]
    else:
        scores = _lamp_over(squares, index, workers)
    ranked = Pooled(group.spec, group.canonical(scores), group.in_force)
    return ranked.place(group.count, group.index)


def _lamp(squares: Array, index: Array, above: np.float64) -> tuple[Array, np.float64]:
    """Return the scores, and the sum of `above` and all squares."""
    best_first = np.lexsort((index, -squares))
    # accumulate adds strictly one after another, unlike a reduction
    at_or_above = np.add.accumulate(np.concatenate([[above], squares[best_first]]))
    scores = np.zeros_like(squares)
    scores[best_first] = np.divide(
        squares[best_first],
        at_or_above[1:],
        out=np.zeros_like(squares),
        where=at_or_above[1:] > 0,
    )
    return scores, at_or_above[-1]


def _lamp_over(squares: Array, index: Array, workers: Workers) -> Array:
    """Let each worker take a range of scores, the first the highest, and pass on its sum."""
    held = np.flatnonzero(squares)
    route = Route(_owners(score_keys(squares[held]), workers), workers)
    mine, where = route.send(squares[held]), route.send(index[held])
    answers, above = np.empty_like(mine), np.float64(0)
    for worker in range(workers.count):
        last = np.zeros(1)
        if worker == workers.rank:
            answers, last[0] = _lamp(mine, where, above)
        above = np.float64(workers.total(last)[0])
    scores = np.zeros_like(squares)
    scores[held] = route.answer(answers)
    return scores


def _owners(keys: Array, workers: Workers) -> Array:
    """Cut the range of keys so that all workers have about as many; equal keys stay together."""

    def histogram(prefix: int, shift: int) -> Array:
        head = keys >> np.uint64(shift)
        digits = head[head >> np.uint64(DIGIT) == prefix] & np.uint64((1 << DIGIT) - 1)
        return workers.total(np.bincount(digits.astype(np.int64), minlength=1 << DIGIT))

    size = int(workers.total(np.array([len(keys)]))[0])
    ranks = [rank for n in range(1, workers.count) if (rank := n * size // workers.count)]
    cuts = np.array([kth_largest(histogram, 64, rank)[0] for rank in reversed(ranks)], np.uint64)
    return len(cuts) - np.searchsorted(cuts, keys, side="right")
