"""Zeros are set in what is about to be written, and counted there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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

    def add(self, kept: int, zeros: int) -> None:
        """Count what was found in a piece."""
        self.kept += kept
        self.zeros += zeros


def set_zeros(values: Array, mask: Array, count: Count) -> None:
    """Set the values to zero that a mask prunes, and count what is there then.

    Args:
        values: Some values of a weight, flat; changed in place.
        mask: Their mask, flat, True = kept.
        count: What was counted of the weight so far; added to.

    """
    bits = values.view(f"u{values.dtype.itemsize}")
    np.multiply(bits, mask.astype(bits.dtype), out=bits)
    nonzero = int(np.count_nonzero(bits))
    kept = max(int(np.count_nonzero(mask)), nonzero)
    count.add(kept, len(bits) - nonzero + _minus_zeros(bits))


def _minus_zeros(bits: Array) -> int:
    """Return how many have the bits of -0.0, the least of all integers."""
    signed = bits.view(f"i{bits.itemsize}")
    least = signed.min(initial=0)
    return int(np.count_nonzero(signed == least)) if least == np.iinfo(signed.dtype).min else 0
