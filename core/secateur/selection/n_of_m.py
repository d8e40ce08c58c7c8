"""Keep n of every m elements: ranks inside a set, from comparing its members in pairs."""

from __future__ import annotations

from itertools import combinations
from math import prod

import numpy as np

from secateur.arrays import sizes
from secateur.arrays.chunks import map_threads, pieces
from secateur.arrays.positions import MemoryOrder
from secateur.layout import Array
from secateur.selection.elements import Elements
from secateur.selection.groups import RankedGroups

COMPARED = 8
"""Up to this set size, comparing pairs is faster than sorting."""


def keep_in_sets(elements: RankedGroups, axis: int, keep: int, of: int) -> Array:
    """Return the canonical mask that keeps `keep` of every `of` consecutive elements.

    The sets lie along `axis`.  Of equal elements the lower index is kept; a tail of r elements
    keeps ``min(keep, r)``.
    """
    mask = elements.canonical(np.empty(elements.size, bool))
    length = elements.shape[axis]
    grid = list(elements.shape)
    grid[axis] = -(-length // of)
    sets = MemoryOrder(tuple(grid), elements.axes)
    axis_first = (axis, *(other for other in range(len(grid)) if other != axis))

    def choose(some: tuple[int, int]) -> None:
        for region in sets.regions(*some):
            along = slice(region[axis].start * of, min(region[axis].stop * of, length))
            members = (*region[:axis], along, *region[axis + 1 :])
            keys = elements.keys_in(members).transpose(axis_first)
            _choose_first(keys, mask[members].transpose(axis_first), keep, of)

    map_threads(choose, list(pieces(0, sets.size, sets.whole_rows(sizes.COMPARED // of))))
    return mask


class Sets:
    """The sets of a weight as they lie in memory, so that some of them are chosen from at a time.

    Args:
        elements: The elements.
        axis: The canonical axis along which the sets lie.
        keep: How many of each stay.
        of: How many each has.

    Attributes:
        together: Positions that hold whole sets: each part begins, and ends, at a multiple of it.

    """

    def __init__(self, elements: Elements, axis: int, keep: int, of: int) -> None:
        self._elements, self._keep, self._of = elements, keep, of
        faster = elements.axes[elements.axes.index(axis) + 1 :]
        length = elements.shape[axis]
        self._step = prod(elements.shape[other] for other in faster)
        self.together = max(1, (length if length % of else of) * self._step)

    def choose(self, start: int, values: Array) -> Array:
        """Return the mask of a part, flat.

        Args:
            start: The position of the first of its elements.
            values: Their values, flat.

        """
        keys = self._elements.keys_of(start, values)
        mask = np.empty(len(keys), bool)
        shape = (-1, self.together // self._step, self._step)
        _choose_first(
            keys.reshape(shape).swapaxes(0, 1),
            mask.reshape(shape).swapaxes(0, 1),
            self._keep,
            self._of,
        )
        return mask


def _choose_first(keys: Array, mask: Array, keep: int, of: int) -> None:
    """Choose along the first axis, whose last set may be shorter."""
    full = len(keys) // of * of
    if full:
        _choose(keys[:full], mask[:full], keep, of)
    if tail := len(keys) - full:
        _choose(keys[full:], mask[full:], keep, tail)


def _choose(keys: Array, mask: Array, keep: int, of: int) -> None:
    """Choose along the first axis, whose length is a multiple of `of`."""
    if of > COMPARED:
        sets = ~keys.reshape(-1, of, *keys.shape[1:])
        ranks = sets.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
        mask[:] = (ranks < keep).reshape(keys.shape)
        return
    members = [keys[offset::of].copy("K") for offset in range(of)]
    beaten = [np.zeros(1, np.uint8)] * of
    for first, second in combinations(range(of), 2):
        wins = members[first] >= members[second]  # the lower index wins a tie
        beaten[second] = beaten[second] + wins.view(np.uint8)
        beaten[first] = beaten[first] + (~wins).view(np.uint8)
    for offset, count in enumerate(beaten):
        mask[offset::of] = count < keep
