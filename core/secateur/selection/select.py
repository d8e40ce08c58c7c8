"""Exact selection of the k highest scores, in about one pass over the weights.

Scores are compared as unsigned integers (see `arrays.sortable_bits`).  A sample of
``n**(2/3)`` of the ``n`` keys gives a bracket ``low <= k-th highest key < high``, a per cent
wide or less.  One pass, in pieces that fit the cache, writes the mask as ``key >= low``, counts
it, and collects the candidates inside the bracket; only those are partitioned, and only they
are corrected in the mask.  The counts prove whether the bracket was right.  Where the sample
shows many equal keys, as after rounding or in a pruned weight, the bracket is one key wide:
nothing is collected, and the counts tell how many of the tied groups stay.  Where no bracket
was right, and where workers hold shards of the weights, `histogram` finds the k-th key by radix
histograms.  `ties` decides among equal keys.

For 25 M float32 on one thread this takes about three times the pass ``abs(w) > t`` alone:
reading and comparing 1.6, collecting 0.5, the sample 0.4, the correction 0.3; see
docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from threading import Lock
from typing import NamedTuple

import numpy as np

from secateur.arrays import sizes
from secateur.arrays.chunks import map_threads, pieces
from secateur.layout import Array
from secateur.selection.groups import RankedGroups
from secateur.selection.histogram import DIGIT, Span, kth_key
from secateur.selection.ties.first import Ties, drop_last_ties, keep_first_ties
from secateur.workers import SINGLE, Workers

MOST_SAMPLED = 1 << 20
"""The most keys that are sampled, as many as 1 G weights need; with their positions, 24 MiB."""
SIGMAS = (3, 12)
"""Half the width of the first bracket, which is wrong once in 370 times, and of the next, in
standard deviations of the sample's rank."""


class Bracket(NamedTuple):
    """The keys from `low` up to and without `high`; None is no bound."""

    low: int
    high: int | None

    @property
    def is_one_key(self) -> bool:
        """Whether all keys inside are equal."""
        return self.high == self.low + 1


class Budget:
    """How many more candidates all threads together may collect."""

    def __init__(self, size: int) -> None:
        self._remaining, self._one_at_a_time = size, Lock()

    @property
    def is_spent(self) -> bool:
        """Whether the budget was, or is, too small for all candidates."""
        return self._remaining <= 0

    def take(self, wanted: int) -> bool:
        """Take some of the budget, and return whether it is enough."""
        with self._one_at_a_time:
            self._remaining -= wanted
            return self._remaining > 0


class PassResult(NamedTuple):
    """What one pass found in a span: counts, and the candidates inside the bracket."""

    span: Span
    above: int
    inside: int
    keys: Array
    offsets: Array

    @property
    def positions(self) -> Array:
        """The candidates' positions in their weight."""
        return self.offsets.astype(np.int64) + self.span.start


def select(groups: Sequence[RankedGroups], keep: int, workers: Workers = SINGLE) -> list[Array]:
    """Return masks that keep exactly the `keep` highest of all groups, taken together.

    Among equal scores the lower canonical index is kept; at one index, weights follow a digest
    of their content, and the order in which they are given only where all bits are equal.

    Args:
        groups: One entry per weight.
        keep: How many groups stay, over all weights and workers.
        workers: The processes that shard the weights.

    Returns:
        One bool array per weight, in the canonical shape of its groups, True = kept.

    Raises:
        WeightError: A value is NaN or infinite; nothing is changed.

    Example:
        >>> from secateur.adapter import WeightSpec
        >>> from secateur.selection.groups import Pooled
        >>> spec = WeightSpec("fc", "dense", "kernel", (3, 1), "float64", "fc")
        >>> select([Pooled(spec, np.array([1.0, 3.0, 2.0]), None)], keep=2)[0].tolist()
        [False, True, True]

    """
    masks = [np.empty(group.size, bool) for group in groups]
    spans = [
        Span(number, start, stop)
        for number, group in enumerate(groups)
        for start, stop in pieces(0, group.size, sizes.SPAN)
    ]
    all_here = workers.count == 1 and not any(group.is_part for group in groups)
    brackets = _brackets(groups, keep) if all_here else iter(())
    if not any(_select_by_bracket(groups, masks, spans, keep, bracket) for bracket in brackets):
        _select_by_histogram(groups, masks, spans, keep, workers)
    return [group.canonical(mask) for group, mask in zip(groups, masks, strict=True)]


def _brackets(groups: Sequence[RankedGroups], keep: int) -> Iterator[Bracket]:
    """Guess, by a sample, brackets around the k-th highest key; the likeliest first."""
    size = sum(group.size for group in groups)
    if size <= sizes.SMALL:
        yield Bracket(0, None)
        return
    sample = _sample(groups, size // min(int(size ** (2 / 3)), MOST_SAMPLED))
    rank = len(sample) * (1 - keep / size)
    for sigmas in SIGMAS:
        yield from _around(sample, rank, sigmas)


def _around(sample: Array, rank: float, sigmas: int) -> Iterator[Bracket]:
    """Guess from a sample, in which the k-th highest key has about this rank from below."""
    slack = sigmas * sqrt(max(rank * (1 - rank / len(sample)), 1)) + 1

    def is_tied(key: int) -> bool:
        return bool(np.count_nonzero(sample == key) > slack)

    last = len(sample) - 1
    below, middle, above = int(rank - slack), min(int(rank), last), int(rank + slack) + 1
    sample.partition([max(below, 0), middle, min(above, last)])
    low = int(sample[below]) if below > 0 else 0
    guess = int(sample[middle])
    high = int(sample[above]) if above <= last else None
    end = None if high is None else high + (not is_tied(high))
    if is_tied(guess):
        likely = [Bracket(guess, guess + 1), Bracket(guess + 1, end), Bracket(low, guess)]
    else:
        edges = [edge for edge in (low, high) if edge is not None and is_tied(edge)]
        likely = [Bracket(low + is_tied(low), end), *(Bracket(edge, edge + 1) for edge in edges)]
    yield from (one for one in likely if one.high is None or one.low < one.high)


def _sample(groups: Sequence[RankedGroups], stride: int) -> Array:
    """Return about one key of every `stride`."""
    chance = np.random.default_rng(stride)  # any seed gives the same masks
    drawn = []
    for group in groups:
        if group.size:
            positions = np.arange(0, group.size, stride)
            positions += chance.integers(
                0, stride, len(positions)
            )  # a fixed step could meet a period
            drawn.append(group.keys(np.minimum(positions, group.size - 1)))
    return np.concatenate(drawn)


def _select_by_bracket(
    groups: Sequence[RankedGroups],
    masks: list[Array],
    spans: list[Span],
    keep: int,
    bracket: Bracket,
) -> bool:
    """Write the masks by one pass; return False when the k-th key is not in the bracket."""
    budget = Budget(0 if bracket.is_one_key else sizes.COLLECTED)

    def compare(span: Span) -> PassResult:
        return _compare(groups[span.number], masks[span.number], span, bracket, budget)

    results = map_threads(compare, spans)
    inside = sum(result.inside for result in results)
    wanted = keep - sum(result.above for result in results)
    if not 0 <= wanted <= inside:
        return False
    if wanted == inside:
        return True
    if bracket.is_one_key:
        keep_first_ties(groups, masks, _ties(bracket, results), wanted, SINGLE)
        return True
    if budget.is_spent:
        return False
    _drop(groups, masks, results, inside - wanted)
    return True


def _select_by_histogram(
    groups: Sequence[RankedGroups],
    masks: list[Array],
    spans: list[Span],
    keep: int,
    workers: Workers,
) -> None:
    """Write the masks by the k-th key itself, found from radix histograms."""
    bits = max((group.bits for group in groups), default=DIGIT)
    key, stay = (1 << bits) - 1, 0
    if keep:
        key, stay, _ = kth_key(groups, spans, keep, workers)
    bracket = Bracket(key, key + 1)
    results = [_compare(groups[s.number], masks[s.number], s, bracket, Budget(0)) for s in spans]
    keep_first_ties(groups, masks, _ties(bracket, results), stay, workers)


def _ties(bracket: Bracket, results: Sequence[PassResult]) -> Ties:
    return Ties(bracket.low, [(result.span, result.inside) for result in results])


def _compare(
    group: RankedGroups, mask: Array, span: Span, bracket: Bracket, budget: Budget
) -> PassResult:
    """Write ``key >= low`` into the mask; count, and collect candidates within the budget."""
    above = inside = 0
    keys_inside, offsets = [np.empty(0, f"u{group.bits // 8}")], [np.empty(0, np.uint32)]
    low, high = bracket
    for start, stop in pieces(
        span.start, span.stop, min(sizes.CHUNK, sizes.CHUNK * 32 // group.bits)
    ):
        keys = group.keys(slice(start, stop))
        kept = np.greater_equal(keys, low, out=mask[start:stop])
        between = kept
        if high is not None:
            certain = keys >= high
            above += int(np.count_nonzero(certain))
            between = np.not_equal(kept, certain, out=certain)
        if budget.is_spent:
            inside += int(np.count_nonzero(between))
        else:
            where = between.nonzero()[0]
            inside += len(where)
            if budget.take(len(where)):
                keys_inside.append(keys[where])
                offsets.append((where + (start - span.start)).astype(np.uint32))
        del keys  # or they would take memory while the next are made
    return PassResult(span, above, inside, np.concatenate(keys_inside), np.concatenate(offsets))


def _drop(
    groups: Sequence[RankedGroups], masks: list[Array], results: Sequence[PassResult], drop: int
) -> None:
    """Take the `drop` lowest candidates out of the masks."""
    found = [result for result in results if result.inside]
    keys = np.concatenate([piece.keys for piece in found])
    if drop == len(keys):
        for piece in found:
            masks[piece.span.number][piece.positions] = False
        return
    keys.partition(drop)
    lowest_kept = keys[drop]
    ties_dropped = drop - int(np.count_nonzero(keys[:drop] < lowest_kept))
    tied: dict[int, list[Array]] = {}
    for piece in found:
        mask, positions = masks[piece.span.number], piece.positions
        mask[positions[piece.keys < lowest_kept]] = False
        tied.setdefault(piece.span.number, []).append(positions[piece.keys == lowest_kept])
    if ties_dropped:
        some = {number: np.concatenate(positions) for number, positions in tied.items()}
        drop_last_ties(groups, masks, some, ties_dropped)
