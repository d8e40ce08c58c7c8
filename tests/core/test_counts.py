"""How many groups stay: exact at any size, for the decimal that the user wrote."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.arrays.counts import exact, keep_count


@given(groups=st.integers(0, 10**13), sparsity=st.floats(0, 1))
def test_the_count_is_rounded_half_to_even_in_decimal_arithmetic(groups, sparsity):
    with localcontext(prec=400):
        product = Decimal(groups) * (1 - Decimal(repr(sparsity)))
        wanted = product.to_integral_value(ROUND_HALF_EVEN)
    assert keep_count(groups, sparsity) == wanted


@pytest.mark.parametrize(
    ("groups", "sparsity", "kept"),
    [
        (10**9, 0.9, 10**8),
        (50_000_000, 0.9, 5_000_000),
        (10, 0.2, 8),
        (10, 0.9, 1),
        (5, 0.5, 2),
        (7, 0.5, 4),
        (25, 0.9, 2),
        (35, 0.9, 4),
        (0, 0.5, 0),
        (1, 0.5, 0),
        (3, 0.0, 3),
        (3, 1.0, 0),
        (3, 1, 0),
        (9, Fraction(1, 3), 6),
    ],
)
def test_counts(groups, sparsity, kept):
    assert keep_count(groups, sparsity) == kept


def test_a_sparsity_is_the_decimal_that_was_written():
    assert exact(0.1) == Fraction(1, 10)
    assert exact(1e-7) == Fraction(1, 10**7)
