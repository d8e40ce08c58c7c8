"""Scores as unsigned integers: IEEE numbers order like their bits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from secateur.layout import Array

_EXPONENT_BITS = {"float16": 5, "bfloat16": 8, "float32": 8, "float64": 11}


def _unsigned(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"u{dtype.itemsize}")


@cache
def infinity(dtype: np.dtype[Any]) -> int:
    """Return the key of infinity: every finite magnitude is below it, every NaN above.

    >>> hex(infinity(np.dtype("float32")))
    '0x7f800000'
    """
    mantissa = 8 * dtype.itemsize - 1 - _EXPONENT_BITS[dtype.name]
    return ((1 << _EXPONENT_BITS[dtype.name]) - 1) << mantissa


def common_dtype(arrays: Sequence[Array]) -> np.dtype[Any]:
    """Return a dtype that holds every value of these arrays exactly, so that keys compare.

    >>> common_dtype([np.zeros(1, np.float16), np.zeros(1, np.float32)])
    dtype('float32')
    """
    dtypes = {array.dtype.newbyteorder("=") for array in arrays}
    widest = max(dtypes, key=lambda dtype: dtype.itemsize)
    # neither of float16 and bfloat16 holds all values of the other
    return widest if len(dtypes) == 1 or widest.itemsize > 2 else np.dtype(np.float32)


def magnitude_keys(values: Array) -> Array:
    """Return unsigned integers that order like ``|values|``: the bits, the sign cleared.

    >>> magnitude_keys(np.array([-0.0, 0.5, -2.0], np.float32)).argsort().tolist()
    [0, 1, 2]
    """
    unsigned = _unsigned(values.dtype)
    sign_cleared = unsigned.type((1 << (8 * values.dtype.itemsize - 1)) - 1)
    keys: Array = values.view(unsigned) & sign_cleared
    return keys


def score_keys(scores: Array) -> Array:
    """Return unsigned integers that order like `scores`, negative ones too; -0.0 equals 0.0.

    >>> score_keys(np.array([-1.0, -0.0, 0.0, 3.0])).argsort(kind="stable").tolist()
    [0, 1, 2, 3]
    """
    unsigned = _unsigned(scores.dtype)
    last = 8 * scores.dtype.itemsize - 1
    bits: Array = (scores + scores.dtype.type(0)).view(unsigned)  # adding zero turns -0.0 into 0.0
    flip = bits.view(f"i{scores.dtype.itemsize}") >> last  # all ones where negative
    flip |= flip.dtype.type(-1 << last)
    bits ^= flip.view(unsigned)
    return bits
