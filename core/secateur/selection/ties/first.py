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
    spans = [span for span, count in ties.spans if count]
    numbers = np.flatnonzero(tied).tolist()
    if stay and any(groups[number].is_part for number in numbers):
        _keep_first_of_parts(groups, masks, ties.key, spans, stay, workers)
        return
    last, stay_there = -1, 0
    if stay and len(numbers) == 1:
        last, stay_there = last_of_one(groups[numbers[0]], ties.key, spans, stay), 1
    elif stay:
        last, stay_there = last_of_several(groups, ties.key, spans, stay)
    for number in numbers:
        own = [span for span in spans if span.number == number]
        drop_after(groups[number], masks[number], ties.key, own, last)
    if len(numbers) > 1 and stay:
        found = {n: position_of_tie(groups[n], ties.key, last) for n in numbers}
        at_last = {n: position for n, position in found.items() if position is not None}
        keep_at_last(groups, masks, at_last, stay_there, workers)


def _keep_first_of_parts(
    groups: Sequence[RankedGroups],
    masks: list[Array],
    key: int,
    spans: Sequence[Span],
    stay: int,
    workers: Workers,
) -> None:
    """Keep the first `stay` ties of weights that workers hold in shards."""
    highest = max(group.count for group in groups) - 1

    def positions(span: Span) -> Iterator[Array]:
        for start, keys in key_pieces(groups[span.number], span):
            yield np.flatnonzero(keys == key) + start

    def from_the_end(span: Span) -> Iterator[Array]:  # so that the first are the largest
        return (highest - groups[span.number].index(found) for found in positions(span))

    def count(prefix: int, shift: int) -> Array:
        return radix_histogram(from_the_end, spans, prefix, shift, workers)

    found, stay = kth_largest(count, max(highest.bit_length(), 1), stay)
    last = highest - found
    at_last: dict[int, int] = {}
    for span in spans:
        group, mask = groups[span.number], masks[span.number]
        for some in positions(span):
            index = group.index(some)
            mask[some[index > last]] = False
            for position in some[index == last].tolist():
                at_last[span.number] = position
    keep_at_last(groups, masks, at_last, stay, workers)


def drop_last_ties(
    groups: Sequence[RankedGroups], masks: list[Array], ties: Mapping[int, Array], drop: int
) -> None:
    """Take the last `drop` of some ties of whole weights out of the masks.

    Args:
        groups: The groups of all weights.
        masks: Their masks, which keep all of the ties.
        ties: The positions of the ties, by number of the weight.
        drop: How many of them go.

    """
    index = {number: groups[number].index(positions) for number, positions in ties.items()}
    everything = np.concatenate(list(index.values()))
    stay = len(everything) - drop
    last = int(np.partition(everything, stay - 1)[stay - 1]) if stay else -1
    at_last: dict[int, int] = {}
    for number, positions in ties.items():
        masks[number][positions[index[number] > last]] = False
        for position in positions[index[number] == last].tolist():
            at_last[number] = position
    stay -= int(np.count_nonzero(everything < last))
    keep_at_last(groups, masks, at_last, stay, SINGLE)


def keep_at_last(
    groups: Sequence[RankedGroups],
    masks: list[Array],
    positions: Mapping[int, int],
    stay: int,
    workers: Workers,
) -> None:
    """Of ties at one canonical index, keep those of the first `stay` weights by content only.

    Args:
        groups: The groups of all weights.
        masks: Their masks, which keep all of these ties.
        positions: The position of the tie, by number of the weight, where this process holds it.
        stay: How many of the ties stay, over all workers.
        workers: The processes that shard the weights.

    """
    tied = np.zeros(len(groups), np.int64)
    tied[list(positions)] = 1
    numbers = np.flatnonzero(workers.total(tied)).tolist()
    if stay == len(numbers):
        return

    first = {number: groups[number].digest(HEAD, workers) for number in numbers}
    alike = Counter(first.values())

    def content(number: int) -> tuple[int, int, str, str]:
        group, head = groups[number], first[number]
        whole = group.digest(group.spec.size, workers) if alike[head] > 1 else 0
        return head, whole, group.spec.kind, group.spec.role

    for number in sorted(numbers, key=content)[stay:]:
        if number in positions:
            masks[number][positions[number]] = False
