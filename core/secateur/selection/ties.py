"""Which of the groups with equal keys stay.

The earlier weight comes first, then the lower canonical index.  The last group that stays is
found axis by axis, from counts along one canonical axis after another, so that no index is
ever written down for millions of ties.  Where workers hold shards of a weight, radix
histograms count canonical indices instead, as `selection.histogram` counts keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np

from secateur.arrays.chunks import CHUNK, map_threads, pieces
from secateur.arrays.positions import Region
from secateur.layout import Array
from secateur.selection.groups import RankedGroups
from secateur.selection.histogram import Span, key_pieces, kth_largest, radix_histogram
from secateur.workers import Workers


class Ties(NamedTuple):
    """The key of the groups that tie, and how many of each span have it."""

    key: int
    spans: list[tuple[Span, int]]


def keep_first_ties(
    groups: Sequence[RankedGroups], masks: list[Array], ties: Ties, stay: int, workers: Workers
) -> None:
    """Of all ties, which the masks keep, keep the first `stay` only: by weight, then by index."""
    tied = np.zeros(len(groups), np.int64)
    for span, count in ties.spans:
        tied[span.number] += count
    for number, count in enumerate(workers.total(tied).tolist()):
        here = min(stay, count)
        stay -= here
        if here == count:
            continue
        spans = [span for span, found in ties.spans if span.number == number and found]
        if here and groups[number].is_part:
            _keep_first_of_all(groups[number], masks[number], ties.key, spans, here, workers)
        else:
            _keep_first(groups[number], masks[number], ties.key, spans, here)


def _keep_first(
    group: RankedGroups, mask: Array, key: int, spans: Sequence[Span], stay: int
) -> None:
    """Keep the first `stay` ties of a weight that this process holds whole."""
    drop = [_whole(group)] if stay == 0 else _regions_after(group, key, spans, stay)

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


def _regions_after(group: RankedGroups, key: int, spans: Sequence[Span], stay: int) -> list[Region]:
    """Return the regions of all canonical indices after that of tie number `stay`."""
    inside, after = list(_whole(group)), []
    for axis, length in enumerate(group.shape):
        if length == 1:
            continue
        up_to = np.cumsum(_count_along(group, key, spans, tuple(inside), axis))
        last = int(np.searchsorted(up_to, stay))
        stay -= int(up_to[last - 1]) if last else 0
        after.append((*inside[:axis], slice(last + 1, length), *inside[axis + 1 :]))
        inside[axis] = slice(last, last + 1)
    return after


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
    for start, stop in pieces(span.start, span.stop, CHUNK):
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


def _keep_first_of_all(
    group: RankedGroups, mask: Array, key: int, spans: Sequence[Span], stay: int, workers: Workers
) -> None:
    """Keep the first `stay` ties of a weight that workers hold in shards."""
    end = group.count - 1  # counted from the end, so that the first are the largest

    def positions(span: Span) -> Iterator[Array]:
        for start, keys in key_pieces(group, span):
            yield np.flatnonzero(keys == key) + start

    def count(prefix: int, shift: int) -> Array:
        def from_the_end(span: Span) -> Iterator[Array]:
            return (end - group.index(found) for found in positions(span))

        return radix_histogram(from_the_end, spans, prefix, shift, workers)

    last = end - kth_largest(count, max(end.bit_length(), 1), stay)[0]
    for span in spans:
        for found in positions(span):
            mask[found[group.index(found) > last]] = False
