"""Which of the groups with equal keys stay.

The lower canonical index comes first.  At one index, weights follow the digests of their first
elements, then of all (see `content`), so that the order in which a framework lists them does not
matter; then their kinds and roles; only weights that are equal in every bit follow the order of
the plan.

Whole weights are counted by rows, see `whole`.  Where workers hold shards, radix histograms
count canonical indices, as `histogram` counts keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from secateur.layout import Array
from secateur.selection.content import HEAD
from secateur.selection.groups import RankedGroups
from secateur.selection.histogram import Span, key_pieces, kth_largest, radix_histogram
from secateur.selection.ties.whole import (
    drop_after,
    last_of_one,
    last_of_several,
    position_of_tie,
)
from secateur.workers import SINGLE, Workers


class Ties(NamedTuple):
    """The key of the groups that tie, and how many of each span have it."""

    key: int
    spans: list[tuple[Span, int]]


class Cut(NamedTuple):
    """Of some ties, those after a canonical index go, and single ones at that index.

    Attributes:
        key: The key of the ties.
        last: The canonical index of the last that stay.
        dropped: The position of a tie at that index that goes, by number of the weight.

    """

    key: int
    last: int
    dropped: Mapping[int, int]

    def apply(self, number: int, group: RankedGroups, mask: Array, spans: Sequence[Span]) -> None:
        """Take the ties of one weight that go out of its mask, which keeps all of them."""
        if group.is_part:
            for span in spans:
                for some in _ties_in(group, self.key, span):
                    mask[some[group.index(some) > self.last]] = False
        else:
            drop_after(group, mask, self.key, spans, self.last)
        if number in self.dropped:
            mask[self.dropped[number]] = False

    def apply_to_part(
        self, number: int, group: RankedGroups, start: int, keys: Array, mask: Array
    ) -> None:
        """Take them out of a part of its mask, from position `start` on, given the keys there."""
        if not group.is_part and group.order.is_canonical:  # then positions are indices
            after = max(0, self.last + 1 - start)
            np.greater(keys[after:], self.key, out=mask[after:])
        else:
            tied = np.flatnonzero(keys == self.key)
            mask[tied[group.index(tied + start) > self.last]] = False
        if 0 <= self.dropped.get(number, -1) - start < len(mask):
            mask[self.dropped[number] - start] = False


def keep_first_ties(
    groups: Sequence[RankedGroups], masks: list[Array], ties: Ties, stay: int, workers: Workers
) -> None:
    """Of all ties, which the masks keep, keep the first `stay` only."""
    tied = np.zeros(len(groups), np.int64)
    for span, count in ties.spans:
        tied[span.number] += count
    tied = workers.total(tied)
    if stay == tied.sum():
        return
    some = [(span, count) for span, count in ties.spans if count]
    cut = cut_ties(groups, ties.key, some, np.flatnonzero(tied).tolist(), stay, workers)
    spans: dict[int, list[Span]] = {}
    for span, _ in some:
        spans.setdefault(span.number, []).append(span)
    for number, own in spans.items():
        cut.apply(number, groups[number], masks[number], own)


def cut_ties(
    groups: Sequence[RankedGroups],
    key: int,
    tied: Sequence[tuple[Span, int | None]],
    numbers: Sequence[int],
    stay: int,
    workers: Workers,
) -> Cut:
    """Return where ties are cut, so that the first `stay` stay and the others go.

    Args:
        groups: The groups of all weights.
        key: The key of the ties.
        tied: Where they are among the groups that this process holds, in order, and how many, as
            far as that is known.
        numbers: The numbers of the weights that have some, on any worker.
        stay: How many stay; fewer than there are.
        workers: The processes that hold the weights.

    """
    if not stay:
        return Cut(key, -1, {})
    spans = [span for span, _ in tied]
    if any(groups[number].is_part for number in numbers):
        return _cut_of_parts(groups, key, spans, stay, workers)
    if len(numbers) == 1 and not groups[numbers[0]].order.is_canonical:
        return Cut(key, last_of_one(groups[numbers[0]], key, spans, stay), {})
    last, stay_there = last_of_several(groups, key, tied, stay)
    found = {n: position_of_tie(groups[n], key, last) for n in numbers}
    at_last = {n: position for n, position in found.items() if position is not None}
    return Cut(key, last, _dropped_at_last(groups, at_last, stay_there, workers))


def _ties_in(group: RankedGroups, key: int, span: Span) -> Iterator[Array]:
    """Yield the positions of the ties of a span."""
    for start, keys in key_pieces(group, span):
        yield np.flatnonzero(keys == key) + start


def _cut_of_parts(
    groups: Sequence[RankedGroups],
    key: int,
    spans: Sequence[Span],
    stay: int,
    workers: Workers,
) -> Cut:
    """Return where ties of weights are cut that workers hold in shards."""
    highest = max(group.count for group in groups) - 1

    def from_the_end(span: Span) -> Iterator[Array]:  # so that the first are the largest
        group = groups[span.number]
        return (highest - group.index(found) for found in _ties_in(group, key, span))

    def count(prefix: int, shift: int) -> Array:
        return radix_histogram(from_the_end, spans, prefix, shift, workers)

    found, stay, _ = kth_largest(count, max(highest.bit_length(), 1), stay)
    last = highest - found
    at_last: dict[int, int] = {}
    for span in spans:
        group = groups[span.number]
        for some in _ties_in(group, key, span):
            for position in some[group.index(some) == last].tolist():
                at_last[span.number] = position
    return Cut(key, last, _dropped_at_last(groups, at_last, stay, workers))


def drop_last_ties(
    groups: Sequence[RankedGroups],
    masks: list[Array],
    key: int,
    ties: Mapping[int, Array],
    drop: int,
) -> None:
    """Take the last `drop` of some ties of whole weights out of the masks.

    Args:
        groups: The groups of all weights.
        masks: Their masks, which keep all of the ties.
        key: The key of the ties.
        ties: The positions of the ties, by number of the weight.
        drop: How many of them go.

    """
    stay = sum(len(positions) for positions in ties.values()) - drop
    cut = cut_known_ties(groups, key, ties, stay)
    for number, positions in ties.items():
        masks[number][positions[groups[number].index(positions) > cut.last]] = False
    for number, position in cut.dropped.items():
        masks[number][position] = False


def cut_known_ties(
    groups: Sequence[RankedGroups], key: int, ties: Mapping[int, Array], stay: int
) -> Cut:
    """Return where ties are cut, given the position of each of them.

    Args:
        groups: The groups of all weights, each held whole.
        key: Their key.
        ties: The positions of the ties, by number of the weight.
        stay: How many of them stay.

    """
    index = {number: groups[number].index(positions) for number, positions in ties.items()}
    everything = np.concatenate(list(index.values()))
    last = int(np.partition(everything, stay - 1)[stay - 1]) if stay else -1
    at_last: dict[int, int] = {}
    for number, positions in ties.items():
        for position in positions[index[number] == last].tolist():
            at_last[number] = position
    stay -= int(np.count_nonzero(everything < last))
    return Cut(key, last, _dropped_at_last(groups, at_last, stay, SINGLE))


def _dropped_at_last(
    groups: Sequence[RankedGroups], positions: Mapping[int, int], stay: int, workers: Workers
) -> dict[int, int]:
    """Return which ties at one canonical index go, if the first `stay` by content stay.

    Args:
        groups: The groups of all weights.
        positions: The position of the tie, by number of the weight, where this process holds it.
        stay: How many of the ties stay, over all workers.
        workers: The processes that shard the weights.

    """
    tied = np.zeros(len(groups), np.int64)
    tied[list(positions)] = 1
    numbers = np.flatnonzero(workers.total(tied)).tolist()
    if stay == len(numbers):
        return {}

    first = {number: groups[number].digest(HEAD, workers) for number in numbers}
    alike = Counter(first.values())

    def content(number: int) -> tuple[int, int, str, str]:
        group, head = groups[number], first[number]
        whole = group.digest(group.spec.size, workers) if alike[head] > 1 else 0
        return head, whole, group.spec.kind, group.spec.role

    gone = sorted(numbers, key=content)[stay:]
    return {number: positions[number] for number in gone if number in positions}
