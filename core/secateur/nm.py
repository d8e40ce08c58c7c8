"""Keep n of every m: the ranks inside a set, by comparing its members two by two."""

from __future__ import annotations

from itertools import combinations
from math import prod

import numpy as np

from secateur.layout import Array
from secateur.parallel import CHUNK, map_threads, pieces
from secateur.scores import Ranked

COMPARED = 8
"""Up to this set size, comparing pairs is faster than sorting."""


def keep_in_sets(elements: Ranked, axis: int, keep: int, of: int) -> Array:
    """Return the mask that keeps `keep` of every `of` consecutive elements along `axis`.

    Returns a bool array of the elements' canonical shape, True = kept.  Of equal elements
    the lower index is kept; a tail of r elements keeps ``min(keep, r)``.
    """
    order = elements.axes
    shape = tuple(elements.shape[axis] for axis in order)
    mask = np.empty(shape, bool)
    along = order.index(axis)
    row = prod(shape[1:])
    step = of if along == 0 else 1
    at_once = step * max(1, CHUNK // max(1, row * step))

    def choose(rows: tuple[int, int]) -> None:
        keys = elements.keys(slice(rows[0] * row, rows[1] * row))
        keys = np.moveaxis(keys.reshape(rows[1] - rows[0], *shape[1:]), along, 0)
        chosen = np.moveaxis(mask[rows[0] : rows[1]], along, 0)
        full = len(keys) // of * of
        _choose(keys[:full], chosen[:full], keep, of)
        if tail := len(keys) - full:
            _choose(keys[full:], chosen[full:], keep, tail)

    if mask.size:
        map_threads(choose, list(pieces(0, shape[0], at_once)))
    return mask.transpose(np.argsort(order))


def _choose(keys: Array, mask: Array, keep: int, of: int) -> None:
    """Choose along the first axis, whose length is a multiple of `of`."""
    if of > COMPARED:
        sets = ~keys.reshape(-1, of, *keys.shape[1:])
        ranks = sets.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
        mask[:] = (ranks < keep).reshape(keys.shape)
        return
    members = [np.ascontiguousarray(keys[place::of]) for place in range(of)]
    beaten = [np.zeros(member.shape, np.uint8) for member in members]
    for first, second in combinations(range(of), 2):
        wins = members[first] >= members[second]  # the lower index wins a tie
        beaten[second] += wins
        beaten[first] += ~wins
    for place, count in enumerate(beaten):
        np.less(count, keep, out=mask[place::of])
