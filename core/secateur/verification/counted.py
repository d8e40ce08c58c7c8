"""What of a weight is zero: counted in its elements, and in the groups of a pattern."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secateur.adapter import WeightSpec
from secateur.components.criteria import Magnitude
from secateur.components.patterns import FixedPattern
from secateur.layout import Array
from secateur.selection.component_errors import attributed
from secateur.selection.elements import Elements


@dataclass(frozen=True)
class Values:
    """What of the values of a weight is zero, and what is no number.

    Attributes:
        zeros: How many values are zero.
        negative_zeros: How many of them are -0.0, which pruning never writes.
        not_finite: How many values are NaN or infinite.
        first: The index of the first of these; None without any.

    """

    zeros: int
    negative_zeros: int = 0
    not_finite: int = 0
    first: tuple[int, ...] | None = None


def count(values: Array, nonzero: Array) -> Values:
    """Return what of a weight is zero, and what is no number.

    Args:
        values: The weight, canonical.
        nonzero: Where it is not zero; NaN is not.

    """
    zeros = zeros_of(nonzero)
    negative = int(np.count_nonzero(np.signbit(values) & ~nonzero)) if zeros else 0
    finite = np.isfinite(values)
    lost = zeros_of(finite)
    return Values(zeros, negative, lost, first_of(~finite) if lost else None)


def zeros_of(nonzero: Array) -> int:
    """Return how many elements are False."""
    return nonzero.size - int(np.count_nonzero(nonzero))


def first_of(where: Array) -> tuple[int, ...]:
    """Return the canonical index of the first element that is True."""
    return tuple(map(int, np.unravel_index(np.argmax(where), where.shape)))


@dataclass(frozen=True)
class Sets:
    """How a weight fits a pattern that fixes what is kept of each set, such as 2:4.

    Attributes:
        asked: How many elements the pattern prunes.
        nonzero: How many elements are not zero beyond what the pattern keeps of their sets.
        more: How many zeros there are beyond those asked.

    """

    asked: int
    nonzero: int
    more: int


def sets_of(nonzero: Array, pattern: FixedPattern, spec: WeightSpec) -> Sets:
    """Return how a weight fits a pattern that fixes its sparsity.

    The pattern chooses again, among ones and zeros: it prunes no one where the weight fits.

    Args:
        nonzero: Where the weight is not zero, canonical.
        pattern: The pattern.
        spec: The weight.

    """
    ranked = Elements(spec, nonzero.astype(np.float32), Magnitude())
    with attributed(pattern, None, [spec.name]):
        kept = pattern.expand(pattern.select(pattern.group(ranked)), spec)
    asked = kept.size - int(np.count_nonzero(kept))
    beyond = int(np.count_nonzero(nonzero & ~kept))
    return Sets(asked, beyond, int(np.count_nonzero(kept & ~nonzero)))
