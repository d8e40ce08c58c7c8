"""Ties of weights that this process holds whole: which are the first, by canonical index.

Of one weight the last tie that stays is found axis by axis, from counts along one canonical
axis after another; of several, from counts of rows, and then by index in a few of them.  So no
index is ever written down for millions of ties.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from threading import Lock

import numpy as np

from secateur.arrays import sizes
from secateur.arrays.chunks import map_threads, pieces
from secateur.arrays.positions import Region, regions
from secateur.layout import Array
from secateur.selection.groups import RankedGroups
from secateur.selection.histogram import Span, kth_largest, radix_histogram
from secateur.workers import SINGLE


def drop_after(
    group: RankedGroups, mask: Array, key: int, spans: Sequence[Span], last: int
) -> None:
    """Take all ties after a canonical index out of the mask; -1 takes all."""
    drop = list(regions(group.shape, min(last + 1, group.size), group.size))

    def write(span: Span) -> None:
        for start, keys in _pieces_in(group, span, drop):
            kept = group.order.views(mask[start : start + len(keys)], start)
            for (region, view), (_, found) in zip(
                kept, group.order.views(keys, start), strict=True
            ):
                for dropped in drop:
                    if (common := _overlap(region, dropped)) is not None:
                        np.greater(found[common], key, out=view[common])

    map_threads(write, spans)


def last_of_one(group: RankedGroups, key: int, spans: Sequence[Span], stay: int) -> int:
    """Return the canonical index of tie number `stay` of a weight."""
    inside, index = list(_whole(group)), 0
    for axis, length in enumerate(group.shape):
        last = 0
        if length > 1:
            up_to = np.cumsum(_count_along(group, key, spans, tuple(inside), axis))
            last = int(np.searchsorted(up_to, stay))
            stay -= int(up_to[last - 1]) if last else 0
            inside[axis] = slice(last, last + 1)
        index = index * length + last
    return index


class _Bands:
    """The counts of a weight's ties by bands of canonical indices, in order.

    Args:
        counts: How many ties each band has.
        starts: The first index of each.
        size: The index after the last band.

    """

    def __init__(self, counts: Array, starts: Array, size: int) -> None:
        self.counts, self.starts = counts, starts
        self.ends = np.append(starts[1:], size)

    @classmethod
    def rows(cls, group: RankedGroups, key: int, spans: Sequence[Span]) -> _Bands:
        """Count the ties by row: along the first axis that is longer than one."""
        axis = next((axis for axis, length in enumerate(group.shape) if length > 1), 0)
        counts = _count_along(group, key, spans, _whole(group), axis)
        return cls(counts, np.arange(len(counts)) * prod(group.shape[axis + 1 :]), group.size)

    @classmethod
    def spans(cls, group: RankedGroups, tied: Sequence[tuple[Span, int]]) -> _Bands:
        """Take the spans of a weight whose positions are canonical indices."""
        starts = np.array([span.start for span, _ in tied])
        return cls(np.array([count for _, count in tied]), starts, group.size)

    def before(self, index: int) -> tuple[int, int]:
        """Return where the band of an index begins, and how many ties lie before it."""
        band = int(np.searchsorted(self.ends, index, "right"))
        start = self.starts[band] if band < len(self.starts) else self.ends[-1]
        return int(start), int(self.counts[:band].sum())


def last_of_several(
    groups: Sequence[RankedGroups], key: int, tied: Sequence[tuple[Span, int | None]], stay: int
) -> tuple[int, int]:
    """Return the canonical index of tie number `stay` by index, and its number among those there.

    The ties of weights whose bands begin, or end, before an index are bounds of how many lie
    before it; between the bounds, a radix histogram finds it.

    Args:
        groups: The groups of all weights.
        key: The key of the ties.
        tied: Where they are, and how many, as far as that is known.
        stay: The number, from 1.

    """
    bands = {
        number: _bands(groups[number], key, [each for each in tied if each[0].number == number])
        for number in sorted({span.number for span, _ in tied})
    }
    counts = np.concatenate([each.counts for each in bands.values()])
    lowest = _reach(np.concatenate([each.starts for each in bands.values()]), counts, stay)
    end = _reach(np.concatenate([each.ends for each in bands.values()]), counts, stay)
    windows, highest = [], end - 1
    for number, each in bands.items():
        begin, before = each.before(lowest)
        windows.append(Span(number, begin, max(min(end, groups[number].size), begin)))
        stay -= before

    def from_the_end(window: Span) -> Iterator[Array]:
        return (highest - found for found in _ties_in(groups[window.number], key, window))

    def count(prefix: int, shift: int) -> Array:
        return radix_histogram(from_the_end, windows, prefix, shift, SINGLE)

    found, stay, _ = kth_largest(count, max(highest.bit_length(), 1), stay)
    return highest - found, stay


def _bands(group: RankedGroups, key: int, tied: Sequence[tuple[Span, int | None]]) -> _Bands:
    known = [(span, count) for span, count in tied if count is not None]
    if group.order.is_canonical and len(known) == len(tied):
        return _Bands.spans(group, known)
    return _Bands.rows(group, key, [span for span, _ in tied])


def _reach(indices: Array, counts: Array, stay: int) -> int:
    """Return the lowest index such that all counts up to there reach `stay`."""
    order = np.argsort(indices, kind="stable")
    return int(indices[order][np.searchsorted(np.cumsum(counts[order]), stay)])


def _ties_in(group: RankedGroups, key: int, window: Span) -> Iterator[Array]:
    """Yield the canonical indices of the ties in a window of canonical indices."""
    for start, stop in pieces(window.start, window.stop, sizes.COUNTED):
        for region in regions(group.shape, start, stop):
            keys = group.keys_in(region).reshape(-1)
            yield np.flatnonzero(keys == key) + start
            start += len(keys)


def position_of_tie(group: RankedGroups, key: int, index: int) -> int | None:
    """Return the position of a canonical index, if the group there has the key."""
    if index >= group.size:
        return None
    coordinates = np.unravel_index(np.array([index]), group.shape)
    position = group.order.positions(coordinates)
    return int(position[0]) if int(group.keys(position)[0]) == key else None


def _count_along(
    group: RankedGroups, key: int, spans: Sequence[Span], inside: Region, axis: int
) -> Array:
    """Count the ties in a canonical region by their coordinate along one axis."""
    counts = np.zeros(group.shape[axis], np.int64)
    others = tuple(other for other in range(len(group.shape)) if other != axis)
    one_at_a_time = Lock()

    def count(span: Span) -> None:
        for start, keys in _pieces_in(group, span, [inside]):
            for region, found in group.order.views(keys, start):
                if (common := _overlap(region, inside)) is None:
                    continue
                counted = np.count_nonzero(found[common] == key, axis=others)
                begin = region[axis].start + common[axis].start
                with one_at_a_time:
                    counts[begin : begin + len(counted)] += counted

    map_threads(count, spans)
    return counts


def _pieces_in(
    group: RankedGroups, span: Span, wanted: Sequence[Region]
) -> Iterator[tuple[int, Array]]:
    """Yield the keys of the pieces of a span that touch a region, each with its position."""
    for start, stop in pieces(span.start, span.stop, sizes.CHUNK):
        regions = list(group.order.regions(start, stop))
        if any(_overlap(region, other) for region in regions for other in wanted):
            yield start, group.keys(slice(start, stop))


def _whole(group: RankedGroups) -> Region:
    return tuple(slice(0, length) for length in group.shape)


def _overlap(region: Region, cover: Region) -> Region | None:
    """Return what `cover` covers of a region, counted from the region's first corner."""
    common = []
    for own, other in zip(region, cover, strict=True):
        start, stop = max(own.start, other.start), min(own.stop, other.stop)
        if start >= stop:
            return None
        common.append(slice(start - own.start, stop - own.start))
    return tuple(common)
