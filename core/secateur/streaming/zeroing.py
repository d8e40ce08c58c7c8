"""Zeros are set in what is about to be written, and counted there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secateur.arrays import sizes
from secateur.arrays.chunks import pieces
from secateur.layout import Array


@dataclass
class Count:
    """What was written of one weight.

    Attributes:
        kept: How many values are not pruned: the mask keeps them, or they are not zero.
        zeros: How many values are zero.

    """

    kept: int = 0
    zeros: int = 0


def set_zeros(values: Array, mask: Array, count: Count) -> None:
    """Set the values to zero that a mask prunes, and count what is there then.

    Args:
        values: Some values of a weight, flat; changed in place.
        mask: Their mask, flat, True = kept.
        count: What was counted of the weight so far; changed in place.

    """
    bits = values.view(f"u{values.dtype.itemsize}")
    one = bits.dtype.type(1)
    for start, stop in pieces(0, len(bits), sizes.POOLED):
        some, kept = bits[start:stop], mask[start:stop]
        np.multiply(some, kept, out=some)
        nonzero = (some << one) != 0  # without the sign: -0.0 is zero
        count.zeros += (stop - start) - int(np.count_nonzero(nonzero))
        count.kept += int(np.count_nonzero(np.logical_or(nonzero, kept, out=nonzero)))
