"""Exact selection of the k highest scores, in about one pass over the weights.

Scores are compared as unsigned integers (see `secateur.keys`).  A sample of the keys gives
a bracket ``low <= k-th key < high``.  One pass, in pieces that fit the cache, then writes
the mask as ``key >= low``, counts it, and collects what lies inside the bracket, a per cent
or so; only those are partitioned, and only they are corrected in the mask.  The counts
prove whether the bracket held.  Where it did not, or where too much is tied inside it, the
k-th key is found from histograms of its digits, which need no memory and add up over
pieces, threads and workers.  Ties go to the earlier weight, then to the lower canonical
index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np

from secateur.layout import Array
from secateur.parallel import CHUNK, map_threads, pieces
from secateur.scores import Ranked

SPAN = 16 * CHUNK
"""Places that one thread takes at a time."""
COLLECT = 1 << 22
"""The most candidates that are held at once: with key, place and working copy, 48 MiB."""
DIGIT = 16
"""Bits of a key that one histogram tells apart."""
SIGMAS = 5
"""Half the width of the bracket, in standard deviations of the sample's rank."""

Sum = Callable[[Array], Array]
"""Adds an array of counts over all workers that hold shards of the weights."""


class Span(NamedTuple):
    """Some places of one of the weights."""

    number: int
    start: int
    stop: int


@dataclass(frozen=True)
class Marked:
    """What one pass found in a span: counts, and the candidates inside the bracket."""

    span: Span
    at_least_low: int
    inside: int
    keys: Array
    offsets: Array

    @property
    def places(self) -> Array:
        """The candidates' places in their weight."""
        return self.offsets.astype(np.int64) + self.span.start


def select(groups: Sequence[Ranked], keep: int, total: Sum | None = None) -> list[Array]:
    """Return masks that keep exactly the `keep` highest of all groups, taken together.

    groups: one entry per weight.  keep: from 0 to the sum of their sizes.  total: where
    each worker holds shards of the weights, adds counts over all of them; `keep` then
    counts over all workers too.
    Returns one bool array per weight, in the canonical shape of its groups, True = kept.
    Equal keys are kept in the order of weights, then of canonical index.
    Raises WeightError, before anything is changed, when a value is NaN or infinite.
    """
    masks = [np.empty(group.size, bool) for group in groups]
    spans = [
        Span(number, start, stop)
        for number, group in enumerate(groups)
        for start, stop in pieces(0, group.size, SPAN)
    ]
    if total is not None or not _select_in_bracket(groups, masks, spans, keep):
        _select_by_digits(groups, masks, spans, keep, total or (lambda counts: counts))
    return [group.canonical(mask) for group, mask in zip(groups, masks, strict=True)]


def _select_in_bracket(
    groups: Sequence[Ranked], masks: list[Array], spans: list[Span], keep: int
) -> bool:
    """Write the masks by one bracketed pass; False when the bracket did not hold."""
    low, high = _bracket(groups, keep)
    room = COLLECT // max(1, len(spans))

    def mark(span: Span) -> Marked:
        return _mark(groups[span.number], masks[span.number], span, low, high, room)

    marked = map_threads(mark, spans)
    inside = sum(found.inside for found in marked)
    wanted = keep - sum(found.at_least_low - found.inside for found in marked)
    if wanted == inside:
        return True
    if not 0 <= wanted < inside or any(len(found.keys) < found.inside for found in marked):
        return False
    _drop(groups, masks, marked, inside - wanted)
    return True


def _bracket(groups: Sequence[Ranked], keep: int) -> tuple[int, int | None]:
    """Return keys that hold the k-th highest between them, by a sample; None is no bound."""
    size = sum(group.size for group in groups)
    if size <= 4 * CHUNK:
        return 0, None
    wanted = int(min(max(size >> 9, 1 << 14), 1 << 18))
    chance = np.random.default_rng(size)  # any seed gives the same masks
    drawn = [
        group.keys(np.sort(chance.integers(0, group.size, -(-wanted * group.size // size))))
        for group in groups
        if group.size
    ]
    sample = np.sort(np.concatenate(drawn))
    rank = len(sample) * (1 - keep / size)
    slack = SIGMAS * sqrt(max(rank * (1 - rank / len(sample)), 1)) + 1
    below, above = int(rank - slack), int(rank + slack) + 1
    low = int(sample[below]) if below > 0 else 0
    high = int(sample[above]) if above < len(sample) else None
    return low, high


def _mark(group: Ranked, mask: Array, span: Span, low: int, high: int | None, room: int) -> Marked:
    """Write ``key >= low`` into the mask; count, and collect at most `room` candidates."""
    at_least_low = inside = 0
    keys_inside: list[Array] = []
    offsets: list[Array] = []
    for start, stop in pieces(span.start, span.stop, CHUNK):
        keys = group.keys(slice(start, stop))
        kept = np.greater_equal(keys, keys.dtype.type(low), out=mask[start:stop])
        between = kept if high is None else kept & (keys < keys.dtype.type(high))
        at_least_low += int(np.count_nonzero(kept))
        candidates = int(np.count_nonzero(between))
        inside += candidates
        if candidates and inside <= room:
            where = np.flatnonzero(between)
            keys_inside.append(keys[where])
            offsets.append((where + (start - span.start)).astype(np.uint32))
    none = np.empty(0, np.uint32)
    return Marked(span, at_least_low, inside, _join(keys_inside, none), _join(offsets, none))


def _join(arrays: list[Array], none: Array) -> Array:
    return np.concatenate(arrays) if arrays else none


def _drop(
    groups: Sequence[Ranked], masks: list[Array], marked: Sequence[Marked], drop: int
) -> None:
    """Take the `drop` lowest candidates out of the masks."""
    found = [piece for piece in marked if piece.inside]
    keys = np.concatenate([piece.keys for piece in found])
    if drop == len(keys):
        for piece in found:
            masks[piece.span.number][piece.places] = False
        return
    keys.partition(drop)
    lowest_kept = keys[drop]
    ties_dropped = drop - int(np.count_nonzero(keys[:drop] < lowest_kept))
    tied: list[list[Array]] = [[] for _ in groups]
    for piece in found:
        mask, places = masks[piece.span.number], piece.places
        mask[places[piece.keys < lowest_kept]] = False
        tied[piece.span.number].append(places[piece.keys == lowest_kept])
    for number in reversed(range(len(groups))):
        if not ties_dropped:
            break
        places = np.concatenate([*tied[number], np.empty(0, np.int64)])
        in_order = places[np.argsort(groups[number].index(places))]
        last = in_order[max(len(places) - ties_dropped, 0) :]
        masks[number][last] = False
        ties_dropped -= len(last)


def kth_largest(histogram: Callable[[int, int], Array], bits: int, rank: int) -> tuple[int, int]:
    """Find the `rank`-th largest key, counted from 1, from histograms of its digits.

    histogram: given the digits known so far as a number, and a shift, counts the digit at
    that shift among the keys that begin with them; shape (65536,).
    Returns the key, and how many of the keys equal to it are among the `rank` largest.
    """
    prefix = 0
    for shift in range(bits - DIGIT, -1, -DIGIT):
        counts = histogram(prefix, shift)
        at_least = np.cumsum(counts[::-1])[::-1]
        digit = int(np.flatnonzero(at_least >= rank)[-1])
        rank -= int(at_least[digit] - counts[digit])
        prefix = prefix << DIGIT | digit
    return prefix, rank


def _histogram(
    keys: Callable[[Span], Array], spans: Sequence[Span], prefix: int, shift: int
) -> Array:
    def count(span: Span) -> Array:
        head = keys(span).astype(np.uint64) >> np.uint64(shift)
        digits = head[head >> np.uint64(DIGIT) == prefix] & np.uint64((1 << DIGIT) - 1)
        return np.bincount(digits.astype(np.int64), minlength=1 << DIGIT)

    counts = np.zeros(1 << DIGIT, np.int64)
    for counted in map_threads(count, spans):
        counts += counted
    return counts


def _select_by_digits(
    groups: Sequence[Ranked], masks: list[Array], spans: list[Span], keep: int, total: Sum
) -> None:
    """Write the masks by a threshold from histograms, and a cut through what is tied at it."""

    def keys(span: Span) -> Array:
        return groups[span.number].keys(slice(span.start, span.stop))

    bits = max((group.bits for group in groups), default=DIGIT)
    threshold, ties = (1 << bits) - 1, 0
    if keep:
        threshold, ties = kth_largest(
            lambda prefix, shift: total(_histogram(keys, spans, prefix, shift)), bits, keep
        )
    tied = np.zeros(len(groups), np.int64)
    for span in spans:
        tied[span.number] += np.count_nonzero(keys(span) == threshold)
    tied = total(tied)
    for number, group in enumerate(groups):
        quota = min(ties, int(tied[number]))
        ties -= quota
        own = [span for span in spans if span.number == number]
        last = _last_tie(group, keys, own, threshold, quota, int(tied[number]), total)
        for span in own:
            found = keys(span)
            mask = np.greater(found, threshold, out=masks[number][span.start : span.stop])
            places = np.flatnonzero(found == threshold)
            mask[places[group.index(places + span.start) <= last]] = True


def _last_tie(
    group: Ranked,
    keys: Callable[[Span], Array],
    spans: Sequence[Span],
    threshold: int,
    quota: int,
    tied: int,
    total: Sum,
) -> int:
    """Return the canonical index up to which keys equal to the threshold are kept."""
    if quota == 0:
        return -1
    end = (1 << 3 * DIGIT) - 1
    if quota == tied:
        return end

    def from_the_end(span: Span) -> Array:
        return end - group.index(np.flatnonzero(keys(span) == threshold) + span.start)

    found, _ = kth_largest(
        lambda prefix, shift: total(_histogram(from_the_end, spans, prefix, shift)),
        3 * DIGIT,
        quota,
    )
    return end - found
