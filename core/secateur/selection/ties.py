"""An exact cut through keys that are equal: the first of them stay, the others go.

First means the earlier weight, then the lower canonical index.  The last that stays is
found axis by axis, from counts along one canonical axis after another, so that no index is
ever written down for millions of ties.  Shards of a weight count their canonical indices
by digits instead, as `secateur.selection.histogram` counts keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np

from secateur.arrays.chunks import CHUNK, map_threads, pieces
from secateur.arrays.positions import Box
from secateur.layout import Array
from secateur.selection.groups import RankedGroups
from secateur.selection.histogram import Span, Sum, histogram, key_pieces, kth_largest


class Ties(NamedTuple):
    """The key at which a cut is made, and how many keys in each span equal it."""

    key: int
    spans: list[tuple[Span, int]]


def cut(
    groups: Sequence[RankedGroups], masks: list[Array], ties: Ties, stay: int, total: Sum | None
) -> None:
    """Of all ties, which the masks keep, leave the first `stay`: by weight, then by index."""
    tied = np.zeros(len(groups), np.int64)
    for span, count in ties.spans:
        tied[span.number] += count
    for number, count in enumerate((total(tied) if total else tied).tolist()):
        here = min(stay, count)
        stay -= here
        if here == count:
            continue
        spans = [span for span, held in ties.spans if span.number == number and held]
        if total is None or here == 0:
            _keep_first(groups[number], masks[number], ties.key, spans, here)
        else:
            _keep_first_of_all(groups[number], masks[number], ties.key, spans, here, total)


def _keep_first(
    group: RankedGroups, mask: Array, key: int, spans: Sequence[Span], stay: int
) -> None:
    """Leave the first `stay` ties of a weight that is here as a whole."""
    drop = [_whole(group)] if stay == 0 else _regions_after(group, key, spans, stay)

    def write(span: Span) -> None:
        for start, keys in _pieces_in(group, span, drop):
            kept = group.order.views(mask[start : start + len(keys)], start)
            for (box, view), (_, found) in zip(kept, group.order.views(keys, start), strict=True):
                for region in drop:
                    if (common := _overlap(box, region)) is not None:
                        np.greater(found[common], key, out=view[common])

    map_threads(write, spans)


def _regions_after(group: RankedGroups, key: int, spans: Sequence[Span], stay: int) -> list[Box]:
    """Return the boxes that hold all canonical indices after that of tie number `stay`."""
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
    group: RankedGroups, key: int, spans: Sequence[Span], inside: Box, axis: int
) -> Array:
    """Count the ties in a canonical box by their place along one axis."""
    counts = np.zeros(group.shape[axis], np.int64)
    others = tuple(other for other in range(len(group.shape)) if other != axis)
    one_at_a_time = Lock()

    def count(span: Span) -> None:
        for start, keys in _pieces_in(group, span, [inside]):
            for box, found in group.order.views(keys, start):
                if (common := _overlap(box, inside)) is None:
                    continue
                counted = np.count_nonzero(found[common] == key, axis=others)
                begin = box[axis].start + common[axis].start
                with one_at_a_time:
                    counts[begin : begin + len(counted)] += counted

    map_threads(count, spans)
    return counts


def _pieces_in(
    group: RankedGroups, span: Span, regions: Sequence[Box]
) -> Iterator[tuple[int, Array]]:
    """Yield those pieces of a span that touch a region, with where each begins."""
    for start, stop in pieces(span.start, span.stop, CHUNK):
        cut_up = list(group.order.boxes(start, stop))
        if any(_overlap(box, region) for box in cut_up for region in regions):
            yield start, group.keys(slice(start, stop))


def _whole(group: RankedGroups) -> Box:
    return tuple(slice(0, length) for length in group.shape)


def _overlap(box: Box, region: Box) -> Box | None:
    """Return what a region covers of a box, counted from the box's corner."""
    common = []
    for own, other in zip(box, region, strict=True):
        start, stop = max(own.start, other.start), min(own.stop, other.stop)
        if start >= stop:
            return None
        common.append(slice(start - own.start, stop - own.start))
    return tuple(common)


def _keep_first_of_all(
    group: RankedGroups, mask: Array, key: int, spans: Sequence[Span], stay: int, total: Sum
) -> None:
    """Leave the first `stay` ties of a weight whose shards lie with several workers."""
    end = group.count - 1  # counted from the end, so that the first are the largest

    def positions(span: Span) -> Iterator[Array]:
        for start, keys in key_pieces(group, span):
            yield np.flatnonzero(keys == key) + start

    def count(prefix: int, shift: int) -> Array:
        def from_the_end(span: Span) -> Iterator[Array]:
            return (end - group.index(found) for found in positions(span))

        return histogram(from_the_end, spans, prefix, shift, total)

    last = end - kth_largest(count, max(end.bit_length(), 1), stay)[0]
    for span in spans:
        for found in positions(span):
            mask[found[group.index(found) > last]] = False
