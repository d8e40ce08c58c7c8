"""How small a tensor can become for a coder that knows how often each thing occurs, and no more."""

from __future__ import annotations

from math import ceil

import numpy as np

from secateur.layout import Array
from secateur.packing.bits import nonzero_bits, to_planes


def entropy_bound(values: Array) -> int:
    """Return the entropy of a tensor in bytes: that of its mask, and of the kept values' bytes.

    Each byte of the values is counted by itself, the exponents of floats apart from their
    mantissas. A compressor that finds patterns can go below.

    Args:
        values: The values, of any shape.

    Example:
        >>> entropy_bound(np.zeros(1000, np.float32)), entropy_bound(np.ones(1000, np.float32))
        (0, 0)
        >>> entropy_bound(np.repeat([0.0, 1.0], 4000))
        1000

    """
    kept = nonzero_bits(values)
    bits = _entropy(np.bincount(kept.view(np.uint8), minlength=2))
    flat = values.reshape(-1)[kept]
    for plane in to_planes(flat):
        bits += _entropy(np.bincount(plane, minlength=256))
    return ceil(bits / 8)


def _entropy(counts: Array) -> float:
    """Return the entropy of as many symbols as were counted together, in bits."""
    occurring = counts[counts > 0]
    return float(-(occurring * np.log2(occurring / occurring.sum())).sum())
