"""Where the groups of several weights are cut, found without keeping the mask of any of them.

`select` writes all masks while it looks for the threshold.  Where the weights lie in a file that
is larger than memory, the threshold is found first, by a bracket or radix histograms, and the mask
of a piece of a weight is made from it when that piece is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secateur.arrays import sizes
from secateur.arrays.chunks import map_threads, pieces
from secateur.layout import Array
from secateur.selection.brackets.guess import Bracket, brackets
from secateur.selection.brackets.look import count_each, look
from secateur.selection.groups import RankedGroups
from secateur.selection.histogram import Span, kth_key
from secateur.selection.ties.first import Cut, cut_known_ties, cut_ties
from secateur.workers import SINGLE, Workers

FEW = 8
"""The groups of up to so many keys are counted key by key.  That is as fast as to collect them, and
of 16-bit floats, of which a hundredth may have one key, there are often too many to collect."""


@dataclass(frozen=True)
class Threshold:
    """The lowest key that is kept, and which of the groups that have it stay.

    Attributes:
        key: The key; None where nothing is kept.
        cut: Where the groups with that key are cut; None where all of them stay.

    """

    key: int | None
    cut: Cut | None

    def mask(self, number: int, group: RankedGroups) -> Array:
        """Return the canonical mask of the groups of one weight, True = kept.

        Args:
            number: The number of the weight among those that the threshold was found for.
            group: Its groups.

        """
        mask = np.empty(group.size, bool)

        def compare(some: tuple[int, int]) -> None:
            keys = group.keys(slice(*some))  # which refuses what cannot be ranked
            mask[slice(*some)] = self.part(number, group, some[0], keys)

        map_threads(compare, list(pieces(0, group.size, sizes.CHUNK)))
        return group.canonical(mask)

    def part(self, number: int, group: RankedGroups, start: int, keys: Array) -> Array:
        """Return the mask of some groups of one weight, flat.

        Args:
            number: As in `mask`.
            group: As in `mask`.
            start: The position of the first of them.
            keys: Their keys.

        """
        if self.key is None:
            return np.zeros(len(keys), bool)
        kept: Array = keys >= self.key
        if self.cut is not None:
            self.cut.apply_to_part(number, group, start, keys, kept)
        return kept


def spans_of(number: int, group: RankedGroups) -> list[Span]:
    """Return the spans of the groups of one weight."""
    return [Span(number, *ends) for ends in pieces(0, group.size, sizes.SPAN)]


def threshold(groups: Sequence[RankedGroups], keep: int, workers: Workers = SINGLE) -> Threshold:
    """Return the threshold that keeps exactly the `keep` highest of all groups.

    The masks are those of `secateur.selection.select.select`, bit for bit.

    Args:
        groups: One entry per weight.
        keep: How many groups stay, over all weights and workers.
        workers: The processes that hold the weights.

    Raises:
        WeightError: A value is NaN or infinite.

    """
    if not keep:
        return Threshold(None, None)
    spans = [span for number, group in enumerate(groups) for span in spans_of(number, group)]
    if workers.count == 1 and not any(group.is_part for group in groups):
        for bracket in brackets(groups, keep, FEW):
            if edges := bracket.edges(FEW):
                found = _among_few(groups, spans, keep, edges)
            else:
                found = _inside(groups, spans, keep, bracket)
            if found:
                return found
    key, stay, tied = kth_key(groups, spans, keep, workers)
    if stay == tied:
        return Threshold(key, None)
    numbers = [number for number, group in enumerate(groups) if group.count]
    unknown = [(span, None) for span in spans]
    return Threshold(key, cut_ties(groups, key, unknown, numbers, stay, workers))


def _among_few(
    groups: Sequence[RankedGroups], spans: Sequence[Span], keep: int, edges: range
) -> Threshold | None:
    """Return the threshold, if it is one of a few keys, by one pass that counts each.

    Args:
        groups: As in `threshold`.
        spans: All of their spans.
        keep: As in `threshold`.
        edges: The keys, and the one after the last.

    """
    counts = count_each(groups, spans, edges)
    at_least = counts.sum(axis=0)
    if not at_least[-1] < keep <= at_least[0]:
        return None
    which = int(np.flatnonzero(at_least >= keep)[-1])
    key, stay = edges[which], keep - int(at_least[which + 1])
    if keep == at_least[which]:
        return Threshold(key, None)
    equal = (counts[:, which] - counts[:, which + 1]).tolist()
    tied = [(span, count) for span, count in zip(spans, equal, strict=True) if count]
    numbers = sorted({span.number for span, _ in tied})
    return Threshold(key, cut_ties(groups, key, tied, numbers, stay, SINGLE))


def _inside(
    groups: Sequence[RankedGroups], spans: Sequence[Span], keep: int, bracket: Bracket
) -> Threshold | None:
    """Return the threshold, if it is in a bracket, which one pass tells."""
    seen = look(groups, spans, bracket)
    wanted = keep - seen.above
    if not 0 <= wanted <= seen.inside:
        return None
    if not wanted:
        return Threshold(bracket.high, None)
    if wanted == seen.inside:
        return Threshold(bracket.low, None)
    if not seen.is_whole:
        return None
    found = [result for result in seen.results if result.inside]
    keys = np.concatenate([result.keys for result in found])
    keys.partition(seen.inside - wanted)
    key = int(keys[seen.inside - wanted])
    ties: dict[int, list[Array]] = {}
    for result in found:
        ties.setdefault(result.span.number, []).append(result.positions[result.keys == key])
    stay = wanted - int(np.count_nonzero(keys > key))
    if stay == sum(len(some) for each in ties.values() for some in each):
        return Threshold(key, None)
    joined = {number: np.concatenate(some) for number, some in ties.items()}
    return Threshold(key, cut_known_ties(groups, key, joined, stay))
