"""Where the groups of several weights are cut, found without keeping the mask of any of them.

`select` writes all masks while it looks for the threshold.  Where the weights lie in a file that
is larger than memory, the threshold is found first, by radix histograms, and the mask of a weight
is made from it when that weight is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secateur.arrays import sizes
from secateur.arrays.chunks import map_threads, pieces
from secateur.layout import Array
from secateur.selection.groups import RankedGroups
from secateur.selection.histogram import Span, kth_key
from secateur.selection.ties.first import Cut, cut_ties
from secateur.workers import SINGLE, Workers


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
        spans = spans_of(number, group)

        def compare(span: Span) -> None:
            for start, stop in pieces(span.start, span.stop, sizes.CHUNK):
                keys = group.keys(slice(start, stop))  # which refuses what cannot be ranked
                mask[start:stop] = False if self.key is None else keys >= self.key

        map_threads(compare, spans)
        if self.cut is not None:
            self.cut.apply(number, group, mask, spans)
        return group.canonical(mask)


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
    key, stay, tied = kth_key(groups, spans, keep, workers)
    if stay == tied:
        return Threshold(key, None)
    numbers = [number for number, group in enumerate(groups) if group.count]
    return Threshold(key, cut_ties(groups, key, spans, numbers, stay, workers))
