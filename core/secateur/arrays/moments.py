"""The variance of many values, from sums that are exact: any order and any sharding adds up alike.

Values are added in limbs of 38 bits, aligned by their exponent.  In a limb each value is an
integer, and so few are added at once that float64 holds every sum of them exactly.  Squares are
exact too: those of float64 are made of two halves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from secateur.layout import Array

_BITS = 38
_AT_ONCE = 1 << 14
"""The most values of which float64 holds a sum of limbs exactly."""
_SPLIT = 2.0**27 + 1
_UNIT = 2200
"""Sums are integers of ``2**-2200``, which the square of the smallest float64 is a multiple of."""
_DIGITS = 256
"""Enough 32-bit digits for the sum of many squares of the largest float64."""

Sums = tuple[int, int]
"""The sum of values, and of their squares."""


def sums(values: Array) -> Sums:
    """Return the exact sum of some finite values, and of their squares.

    Args:
        values: Floats of any dtype, flat.

    """
    parts = range(0, len(values), _AT_ONCE)
    return added(_sums(values[start : start + _AT_ONCE]) for start in parts)


def added(parts: Iterable[Sums]) -> Sums:
    """Return the sums of all parts together."""
    total = squares = 0
    for part in parts:
        total, squares = total + part[0], squares + part[1]
    return total, squares


def _sums(values: Array) -> Sums:
    exponent = math.frexp(float(np.abs(values).max()))[1]
    scaled = values.astype(np.float64)
    for part in (-exponent // 2, -exponent - -exponent // 2):  # 2**1074 is beyond float64
        scaled *= 2.0**part
    squares = [np.square(scaled)]
    if values.dtype == np.float64:
        head = scaled * _SPLIT
        head -= head - scaled
        tail = scaled - head
        squares = [np.square(head), 2 * head * tail, np.square(tail)]
    return _sum(scaled, exponent), sum(_sum(each, 2 * exponent) for each in squares)


def _sum(values: Array, exponent: int) -> int:
    """Return the sum of values up to 1, given as multiples of ``2**exponent``; uses them up."""
    found = 0
    while values.any():
        exponent -= _BITS
        values *= 2.0**_BITS
        whole = np.rint(values)
        found += int(whole.sum()) << (exponent + _UNIT)
        values -= whole
    return found


def variance(found: Sums, count: int) -> Fraction:
    """Return the variance of values, exactly.

    Args:
        found: What `sums` returned of all of them.
        count: How many there are.

    Example:
        >>> variance(sums(np.array([0.5, -0.5, 0.5, -0.5], np.float32)), 4)
        Fraction(1, 4)

    """
    if not count:
        return Fraction(0)
    total, squares = (Fraction(each, 1 << _UNIT) for each in found)
    return squares / count - (total / count) ** 2


def as_digits(found: Sums) -> Array:
    """Return sums as int64 numbers that add up, for `from_digits`.

    >>> from_digits(as_digits((-5, 7)) + as_digits((2, 3)))
    (-3, 10)
    """
    each = [number.to_bytes(4 * _DIGITS, "little", signed=True) for number in found]
    return np.frombuffer(b"".join(each), "<u4").astype(np.int64)


def from_digits(digits: Array) -> Sums:
    """Return the sums of which these are the added digits."""
    numbers = digits.tolist()
    total, squares = (
        sum(digit << 32 * place for place, digit in enumerate(part))
        for part in (numbers[:_DIGITS], numbers[_DIGITS:])
    )
    return _signed(total), _signed(squares)


def _signed(number: int) -> int:
    """Return a number of which only the value modulo ``2**(32 * _DIGITS)`` is known."""
    modulus = 1 << 32 * _DIGITS
    number %= modulus
    return number - modulus if number >= modulus // 2 else number


def square_root(square: Fraction) -> float:
    """Return the square root of a fraction, as exactly as float64 holds it.

    >>> square_root(Fraction(1, 4)), square_root(Fraction(10) ** 800)
    (0.5, inf)
    """
    above, below = square.numerator, square.denominator
    shift = max(0, 130 - above.bit_length() + below.bit_length()) // 2 + 1
    root = math.isqrt((above << 2 * shift) // below)
    try:
        return float(Fraction(root, 1 << shift))
    except OverflowError:
        return math.inf
