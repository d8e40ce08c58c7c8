"""The k-th highest of many numbers, from radix histograms: counts of one digit at a time.

Counts of the highest 16 bits, then of the next 16 among the numbers that share them, need
little memory and add up over pieces, threads and workers: selection over shards exchanges
counts only, never weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np

from secateur.arrays import sizes
from secateur.arrays.chunks import map_threads, pieces
from secateur.layout import Array
from secateur.selection.groups import RankedGroups
from secateur.workers import Workers

DIGIT = 16
"""The bits of one digit."""


class Span(NamedTuple):
    """A range of positions in one of the weights."""

    number: int
    start: int
    stop: int


class Ranked(NamedTuple):
    """A number by its rank among others.

    Attributes:
        number: The number.
        stay: How many of those equal to it rank so high.
        tied: How many are equal to it.

    """

    number: int
    stay: int
    tied: int


def kth_key(
    groups: Sequence[RankedGroups], spans: Sequence[Span], rank: int, workers: Workers
) -> Ranked:
    """Return the `rank`-th highest key of all groups."""

    def numbers(span: Span) -> Iterator[Array]:
        return (keys for _, keys in key_pieces(groups[span.number], span))

    def count(prefix: int, shift: int) -> Array:
        return radix_histogram(numbers, spans, prefix, shift, workers)

    return kth_largest(count, max(group.bits for group in groups), rank)


def kth_largest(count: Callable[[int, int], Array], bits: int, rank: int) -> Ranked:
    """Return the `rank`-th largest of some numbers, from 1, found by radix histograms.

    Args:
        count: Given the digits known so far as a number, and a shift, counts the digit at that
            shift among the numbers that begin with them; shape (65536,).
        bits: The width of the numbers.
        rank: The rank, from 1.

    """
    prefix = tied = 0
    for shift in range((bits - 1) // DIGIT * DIGIT, -1, -DIGIT):
        counts = count(prefix, shift)
        at_least = np.cumsum(counts[::-1])[::-1]
        digit = int(np.flatnonzero(at_least >= rank)[-1])
        tied = int(counts[digit])
        rank -= int(at_least[digit]) - tied
        prefix = prefix << DIGIT | digit
    return Ranked(prefix, rank, tied)


def radix_histogram(
    numbers: Callable[[Span], Iterator[Array]],
    spans: Sequence[Span],
    prefix: int,
    shift: int,
    workers: Workers,
) -> Array:
    """Count one digit of those numbers of all spans whose higher digits are `prefix`."""
    counts = np.zeros(1 << DIGIT, np.int64)
    one_at_a_time = Lock()

    def count(span: Span) -> None:
        for found in numbers(span):
            kind = found.dtype.type
            if shift + DIGIT < 8 * found.itemsize:
                found = found[found >> kind(shift + DIGIT) == prefix]
            low = (found >> kind(shift)) & kind((1 << DIGIT) - 1)
            counted = np.bincount(low.astype(np.int64))
            with one_at_a_time:
                counts[: len(counted)] += counted

    map_threads(count, spans)
    return workers.total(counts)


def key_pieces(group: RankedGroups, span: Span) -> Iterator[tuple[int, Array]]:
    """Yield the keys of a span in pieces that fit the cache, each with its first position."""
    for start, stop in pieces(span.start, span.stop, sizes.COUNTED):
        yield start, group.keys(slice(start, stop))
