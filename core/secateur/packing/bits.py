"""Masks as bits, values as byte planes, and small codes several to a byte."""

from __future__ import annotations

import numpy as np

from secateur.errors import ModelError
from secateur.layout import Array
from secateur.packing.dtypes import as_bytes


def pack_mask(mask: Array) -> Array:
    """Return a flat mask as bits, the first one in the highest bit of the first byte.

    >>> pack_mask(np.array([True, False, True])).tolist()
    [160]
    """
    return np.packbits(mask)


def unpack_mask(packed: Array, size: int) -> Array:
    """Return the mask of `size` bits that `pack_mask` packed.

    Raises:
        ModelError: A bit after the last one is set.

    """
    if packed.size and packed[-1] & (0xFF >> (size % 8 or 8)):
        raise ModelError("a bit after the end of a mask is set")
    return np.unpackbits(packed, count=size).view(np.bool_)


def nonzero_bits(values: Array) -> Array:
    """Return where a value has a bit that is set: true of -0.0, which is zero, too.

    >>> nonzero_bits(np.array([0.0, -0.0, 1.0])).tolist()
    [False, True, True]
    """
    found: Array = np.asarray(np.any(as_bytes(values), axis=1))
    return found


def to_planes(values: Array) -> Array:
    """Return the first byte of each value, then the second of each, and so on.

    The exponents of floats lie together then, which compresses better.
    """
    return np.ascontiguousarray(as_bytes(values).T)


def from_planes(planes: Array, dtype: np.dtype[np.generic]) -> Array:
    """Return the values that `to_planes` split into planes."""
    found: Array = np.ascontiguousarray(planes.T).view(dtype).reshape(-1)
    return found


def code_width(bits: int) -> int:
    """Return how many bits a code takes: 2, 4 or 8, so that no code crosses a byte.

    Codes that do are no longer told apart by a compressor: 3 bits in 4 are smaller than in 3.

    >>> [code_width(bits) for bits in (2, 3, 4, 5, 8)]
    [2, 4, 4, 8, 8]
    """
    return 8 // (8 // bits)


def pack_codes(codes: Array, bits: int) -> Array:
    """Return codes below ``2**bits``, several to a byte; the first in the highest bits.

    >>> pack_codes(np.array([1, 2, 3], np.uint8), 4).tolist()
    [18, 48]
    """
    width = code_width(bits)
    rows = np.zeros((-(-codes.size // (8 // width)), 8 // width), np.uint8)
    rows.reshape(-1)[: codes.size] = codes
    shifts = np.arange(8 - width, -1, -width, dtype=np.uint8)
    found: Array = np.bitwise_or.reduce(rows << shifts, axis=1)
    return found


def unpack_codes(packed: Array, count: int, bits: int) -> Array:
    """Return the `count` codes that `pack_codes` packed."""
    width = code_width(bits)
    shifts = np.arange(8 - width, -1, -width, dtype=np.uint8)
    codes = (packed[:, None] >> shifts) & ((1 << width) - 1)
    found: Array = codes.reshape(-1)[:count]
    return found
