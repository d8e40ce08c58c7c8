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

docs/benchmarks.md has it beside the pass ``abs(w) > t`` alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from secateur.arrays import sizes
from secateur.arrays.chunks import pieces
from secateur.layout import Array
from secateur.selection.brackets.guess import Bracket, brackets
from secateur.selection.brackets.look import PassResult, look
from secateur.selection.groups import RankedGroups
from secateur.selection.histogram import DIGIT, Span, kth_key
from secateur.selection.ties.first import Ties, drop_last_ties, keep_first_ties
from secateur.workers import SINGLE, Workers


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
    likely = brackets(groups, keep) if all_here else iter(())
    if not any(_select_by_bracket(groups, masks, spans, keep, bracket) for bracket in likely):
        _select_by_histogram(groups, masks, spans, keep, workers)
    return [group.canonical(mask) for group, mask in zip(groups, masks, strict=True)]


def _select_by_bracket(
    groups: Sequence[RankedGroups],
    masks: list[Array],
    spans: list[Span],
    keep: int,
    bracket: Bracket,
) -> bool:
    """Write the masks by one pass; return False when the k-th key is not in the bracket."""
    seen = look(groups, spans, bracket, masks)
    wanted, inside, results = keep - seen.above, seen.inside, seen.results
    if not 0 <= wanted <= inside:
        return False
    if wanted == inside:
        return True
    if bracket.is_one_key:
        keep_first_ties(groups, masks, _ties(bracket, results), wanted, SINGLE)
        return True
    if not seen.is_whole:
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
    seen = look(groups, spans, bracket, masks)
    keep_first_ties(groups, masks, _ties(bracket, seen.results), stay, workers)


def _ties(bracket: Bracket, results: Sequence[PassResult]) -> Ties:
    return Ties(bracket.low, [(result.span, result.inside) for result in results])


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
        drop_last_ties(groups, masks, int(lowest_kept), some, ties_dropped)
