"""Masks as compressed differences of packed bits: at most one bit for each element."""

from __future__ import annotations

import zlib

import numpy as np

from secateur.layout import Array


def packed(mask: Array) -> Array:
    """Return the bits of a mask in C order, eight to a byte."""
    return np.packbits(np.ascontiguousarray(mask).reshape(-1))


def unpacked(bits: Array, rows: int, columns: int) -> Array:
    """Return the mask of `packed`."""
    return np.unpackbits(bits, count=rows * columns).astype(bool).reshape(rows, columns)


def compressed(bits: Array, previous: Array | None) -> bytes:
    """Return what changed since the previous bits, compressed; as it is where that is shorter.

    >>> bits = np.arange(256, dtype=np.uint8)
    >>> len(compressed(bits, None)), len(compressed(bits, bits)) < 20
    (256, True)
    """
    changed = (bits if previous is None else bits ^ previous).tobytes()
    shorter = zlib.compress(changed, 1)
    return shorter if len(shorter) < len(changed) else changed


def expanded(stored: bytes, length: int, previous: Array | None) -> Array:
    """Return the bits that `compressed` made `stored` of, without ever taking more memory.

    Args:
        stored: What `compressed` returned.
        length: The number of bytes of the bits.
        previous: The bits before.

    Raises:
        ValueError: It does not hold as many bytes.

    """
    changed = stored
    if len(stored) != length:
        try:
            inflate = zlib.decompressobj()
            changed = inflate.decompress(stored, length + 1)
        except zlib.error as error:
            raise ValueError(f"a mask cannot be inflated: {error}") from error
        if not inflate.eof or len(changed) != length:
            raise ValueError(f"a mask is not of {length} bytes")
    bits = np.frombuffer(changed, np.uint8)
    return bits if previous is None else bits ^ previous
