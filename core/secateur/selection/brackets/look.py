"""One pass over the keys: what lies above a bracket is counted, what lies inside is collected."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np

from secateur.arrays import sizes
from secateur.arrays.chunks import map_threads, pieces
from secateur.layout import Array
from secateur.selection.brackets.guess import Bracket
from secateur.selection.groups import RankedGroups
from secateur.selection.histogram import Span


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


class Seen(NamedTuple):
    """What the pass over all spans found.

    Attributes:
        results: One for each span.
        above: How many keys lie above the bracket.
        inside: How many lie inside.
        is_whole: Whether all of those inside were collected.

    """

    results: list[PassResult]
    above: int
    inside: int
    is_whole: bool


def look(
    groups: Sequence[RankedGroups],
    spans: Sequence[Span],
    bracket: Bracket,
    masks: Sequence[Array] | None = None,
) -> Seen:
    """Count what lies above and inside a bracket, and collect what lies inside, if there is room.

    Args:
        groups: One entry per weight.
        spans: Where to look.
        bracket: The bracket; where it is one key wide, nothing is collected.
        masks: Where ``key >= low`` is written, by weight and position.

    Raises:
        WeightError: A value is NaN or infinite.

    """
    budget = Budget(0 if bracket.is_one_key else sizes.COLLECTED)

    def compare(span: Span) -> PassResult:
        mask = None if masks is None else masks[span.number]
        return look_at(groups[span.number], span, bracket, budget, mask)

    results = map_threads(compare, spans)
    return Seen(
        results,
        sum(result.above for result in results),
        sum(result.inside for result in results),
        not budget.is_spent,
    )


def look_at(
    group: RankedGroups, span: Span, bracket: Bracket, budget: Budget, mask: Array | None
) -> PassResult:
    """Look at one span, as `look` does."""
    above = inside = 0
    keys_inside, offsets = [np.empty(0, f"u{group.bits // 8}")], [np.empty(0, np.uint32)]
    low, high = bracket
    for start, stop in pieces(span.start, span.stop, _compared(group)):
        keys = group.keys(slice(start, stop))
        kept = np.greater_equal(keys, low, out=None if mask is None else mask[start:stop])
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


def count_each(groups: Sequence[RankedGroups], spans: Sequence[Span], edges: range) -> Array:
    """Count how many keys of each span are at least as high as each of some edges.

    Args:
        groups: One entry per weight.
        spans: Where to look.
        edges: The edges, which are few.

    Returns:
        One row for each span, with a column for each edge.

    Raises:
        WeightError: A value is NaN or infinite.

    """

    def count(span: Span) -> Array:
        group, counts = groups[span.number], np.zeros(len(edges), np.int64)
        for start, stop in pieces(span.start, span.stop, _compared(group)):
            keys = group.keys(slice(start, stop))
            counts += [np.count_nonzero(keys >= edge) for edge in edges]
        return counts

    return np.array(map_threads(count, spans))


def _compared(group: RankedGroups) -> int:
    """Return how many keys of a weight are compared at a time."""
    return sizes.COMPARED if group.bits <= 32 else sizes.CHUNK * 32 // group.bits
