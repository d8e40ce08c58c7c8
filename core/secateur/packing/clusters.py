"""Values clustered by k-means in one dimension, the same on every machine.

Sorted values make each cluster a range, so that an iteration of Lloyd's algorithm needs only
sums over ranges.  Sums and means are float64, elementwise and in one order.
"""

from __future__ import annotations

import numpy as np

from secateur.layout import Array

_MOST_ITERATIONS = 300
_MOST_ERROR = 4.0
"""How many times the squared error is taken for a smaller file: what one bit less would cost."""
_LEAST_ENTROPY = 0.5
"""How much of the entropy must be left, or most values have become one."""


def codebook_of(values: Array, size: int) -> Array:
    """Return the centres of at most `size` clusters of values, ascending, float64.

    Values of at most `size` kinds are their own centres, and lose nothing.

    Args:
        values: Finite values, flat.
        size: The largest number of clusters.

    Example:
        >>> codebook_of(np.array([5.0, 1.0, 1.2, 5.2, 5.4]), 2).round(6).tolist()
        [1.1, 5.2]

    """
    ordered = np.sort(values.astype(np.float64))
    if not ordered.size:
        return ordered
    distinct: Array = ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])]
    if distinct.size <= size:
        return distinct
    sums = np.concatenate([[0.0], np.add.accumulate(ordered)])
    quantiles = ordered[(2 * np.arange(size) + 1) * ordered.size // (2 * size)]
    steps = (2 * np.arange(size) + 1) / (2 * size)
    even = ordered[0] * (1 - steps) + ordered[-1] * steps
    sure, small = (_lloyd(ordered, sums, centres) for centres in (quantiles, even))
    (error, entropy), (other, less) = (_loss(ordered, sums, book) for book in (sure, small))
    if other == 0 or error == 0:
        return sure if error == 0 else small
    # beside one far value, all the others fall into one cluster of even steps
    if other > _MOST_ERROR * error or less < _LEAST_ENTROPY * entropy:
        return sure
    # a bit more for each value makes the error a quarter: that is how error and size are traded
    gained = 2 * (entropy - less) - (np.log2(other) - np.log2(error))
    return small if gained > 0 else sure


def _lloyd(ordered: Array, sums: Array, centres: Array) -> Array:
    """Move centres to the means of what is nearest to them, until they stay."""
    for _ in range(_MOST_ITERATIONS):
        counts, totals = _clusters(ordered, sums, centres)
        moved = np.where(counts > 0, totals / np.maximum(counts, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = np.sort(moved)
    counts, _ = _clusters(ordered, sums, centres)
    found: Array = np.unique(centres[counts > 0])
    return found


def _clusters(ordered: Array, sums: Array, centres: Array) -> tuple[Array, Array]:
    """Return how many values are nearest to each centre, and their sum."""
    ends = np.searchsorted(ordered, _limits(centres))
    edges = np.concatenate([[0], ends, [ordered.size]])
    return np.diff(edges), sums[edges[1:]] - sums[edges[:-1]]


def _loss(ordered: Array, sums: Array, centres: Array) -> tuple[float, float]:
    """Return the squared error, and the entropy of the codes in bits for each value."""
    counts, _ = _clusters(ordered, sums, centres)
    error = float(np.square(ordered - np.repeat(centres, counts)).sum())
    shares = counts[counts > 0] / ordered.size
    return error, -float((shares * np.log2(shares)).sum())


def nearest_codes(values: Array, codebook: Array) -> Array:
    """Return the code of the centre that is nearest to each value, uint8.

    Args:
        values: Values, flat.
        codebook: The centres, ascending.

    Example:
        >>> nearest_codes(np.array([0.9, 4.0]), np.array([1.0, 3.0, 5.0])).tolist()
        [0, 1]

    """
    return np.searchsorted(_limits(codebook), values.astype(np.float64)).astype(np.uint8)


def _limits(centres: Array) -> Array:
    """Return what lies halfway between neighbouring centres."""
    found: Array = centres[:-1] / 2 + centres[1:] / 2
    return found
