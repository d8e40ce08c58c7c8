"""Values clustered by k-means in one dimension, the same on every machine.

Sorted values make each cluster a range, so that an iteration of Lloyd's algorithm needs only
sums over ranges.  Sums and means are float64, elementwise and in one order.
"""

from __future__ import annotations

import numpy as np

from secateur.layout import Array

_MOST_ITERATIONS = 300


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
    centres: Array = ordered[(2 * np.arange(size) + 1) * ordered.size // (2 * size)]
    for _ in range(_MOST_ITERATIONS):
        ends = np.searchsorted(ordered, _limits(centres))
        edges = np.concatenate([[0], ends, [ordered.size]])
        counts = np.diff(edges)
        means = (sums[edges[1:]] - sums[edges[:-1]]) / np.maximum(counts, 1)
        moved = np.where(counts > 0, means, centres)
        if np.array_equal(moved, centres):
            break
        centres = np.sort(moved)
    found: Array = np.unique(centres)
    return found


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
