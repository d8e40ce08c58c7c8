"""How many zeros of a weight lie where a pattern needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secateur.adapter import WeightSpec
from secateur.components.patterns import NM, Block
from secateur.layout import Array
from secateur.targets.target import Use


@dataclass(frozen=True)
class Zeros:
    """The zeros of a weight, as one use of a target counts them.

    Attributes:
        size: The number of elements.
        zeros: The number of zeros.
        useful: The number of zeros that lie in groups of zeros; all of them where any will do.
        broken: The number of n:m sets that keep too many; 0 for other patterns.
        sets: The number of n:m sets.

    """

    size: int
    zeros: int
    useful: int
    broken: int = 0
    sets: int = 0


def count_zeros(use: Use, spec: WeightSpec, nonzero: Array) -> Zeros:
    """Return how the zeros of a weight lie, for one use of a target.

    Args:
        use: The use.
        spec: The weight.
        nonzero: Where it is not zero: bool, canonical.

    Example:
        >>> from secateur.targets.load import load
        >>> spec = WeightSpec("fc", "dense", "kernel", (1, 6), "float32", "fc")
        >>> row = np.array([[True, False, True, False, True, True]])
        >>> count_zeros(load("tensorrt").use("2:4"), spec, row)
        Zeros(size=6, zeros=2, useful=2, broken=0, sets=2)

    """
    zeros = nonzero.size - int(np.count_nonzero(nonzero))
    if isinstance(use.pattern, NM):
        kept = _per_tile(nonzero, use.pattern.extent(spec))
        broken = int(np.count_nonzero(kept > use.pattern.keep))
        return Zeros(nonzero.size, zeros, zeros, broken, kept.size)
    if isinstance(use.pattern, Block):
        extent = use.pattern.extent(spec)
        empty = _per_tile(nonzero, extent) == 0
        sizes = _per_tile(np.ones_like(nonzero), extent)
        return Zeros(nonzero.size, zeros, int(sizes[empty].sum()))
    return Zeros(nonzero.size, zeros, zeros)


def _per_tile(marked: Array, extent: Sequence[int]) -> Array:
    """Return how many elements are marked in each tile; a tile at the edge has what is left."""
    counts = marked.astype(np.int32)
    for axis, length in enumerate(extent):
        if length > 1 and counts.size:
            starts = np.arange(0, counts.shape[axis], length)
            counts = np.add.reduceat(counts, starts, axis=axis)
    return counts
