"""Keep n of every m: the ranks inside a set, by comparing its members two by two."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from secateur.layout import Array
from secateur.parallel import CHUNK, map_threads, pieces
from secateur.places import Order
from secateur.scores import Ranked

COMPARED = 8
"""Up to this set size, comparing pairs is faster than sorting."""


def keep_in_sets(elements: Ranked, axis: int, keep: int, of: int) -> Array:
    """Return the mask that keeps `keep` of every `of` consecutive elements along `axis`.

    Returns a bool array of the elements' canonical shape, True = kept.  Of equal elements
    the lower index is kept; a tail of r elements keeps ``min(keep, r)``.
    """
    mask = elements.canonical(np.empty(elements.size, bool))
    length = elements.shape[axis]
    grid = list(elements.shape)
    grid[axis] = -(-length // of)
    sets = Order(tuple(grid), elements.axes)

    def choose(some: tuple[int, int]) -> None:
        for box in sets.boxes(*some):
            along = slice(box[axis].start * of, min(box[axis].stop * of, length))
            members = (*box[:axis], along, *box[axis + 1 :])
            keys = np.moveaxis(elements.keys_in(members), axis, 0)
            chosen = np.moveaxis(mask[members], axis, 0)
            full = len(keys) // of * of
            _choose(keys[:full], chosen[:full], keep, of)
            if tail := len(keys) - full:
                _choose(keys[full:], chosen[full:], keep, tail)

    map_threads(choose, list(pieces(0, sets.size, max(1, CHUNK // of))))
    return mask


def _choose(keys: Array, mask: Array, keep: int, of: int) -> None:
    """Choose along the first axis, whose length is a multiple of `of`."""
    if of > COMPARED:
        sets = ~keys.reshape(-1, of, *keys.shape[1:])
        ranks = sets.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
        mask[:] = (ranks < keep).reshape(keys.shape)
        return
    members = [keys[place::of].copy("K") for place in range(of)]
    beaten = [np.zeros_like(member, np.uint8) for member in members]
    for first, second in combinations(range(of), 2):
        wins = members[first] >= members[second]  # the lower index wins a tie
        beaten[second] += wins
        beaten[first] += ~wins
    for place, count in enumerate(beaten):
        np.less(count, keep, out=mask[place::of])
