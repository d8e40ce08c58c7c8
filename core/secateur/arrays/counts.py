"""How many groups are kept: one formula, in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction


def exact(sparsity: float | Fraction) -> Fraction:
    """Return a sparsity as the decimal that the user wrote.

    >>> exact(0.9)
    Fraction(9, 10)
    """
    return sparsity if isinstance(sparsity, Fraction) else Fraction(repr(float(sparsity)))


def keep_count(groups: int, sparsity: float | Fraction) -> int:
    """Return how many groups are kept: ``round_half_even(groups * (1 - sparsity))``.

    The count is exact at any size: 0.9 is the decimal 9/10, not the nearest binary float.

    Args:
        groups: How many groups there are.
        sparsity: The fraction of them to prune, from 0 to 1.

    Example:
        >>> keep_count(25, 0.9), keep_count(1_000_000_000, 0.9), keep_count(7, 0.0)
        (2, 100000000, 7)

    """
    return round(groups * (1 - exact(sparsity)))
