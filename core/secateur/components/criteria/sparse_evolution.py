"""SET: drop by magnitude, grow by chance."""

from __future__ import annotations

from secateur.components.criteria.criterion import Criterion
from secateur.components.criteria.random import Random
from secateur.components.criteria.regrowth import Fraction, Regrowth


class SparseEvolution(Regrowth):
    """Drop weights of small magnitude, and grow others by chance, the same in every framework.

    The same share changes at each update but the one at `end_step` (Mocanu et al. 2018,
    "Scalable training of artificial neural networks with adaptive sparse connectivity inspired by
    network science", arXiv 1707.04780, with its zeta as `fraction`; the paper drops the smallest
    positive and the largest negative weights apart).

    Attributes:
        fraction: The share of the kept weights that changes.

    Example:
        >>> SparseEvolution().fraction_at(50, 100)
        0.3

    """

    kind = "set"
    fraction: Fraction = 0.3

    @property
    def grow(self) -> Criterion:
        return Random(seed=self.seed)

    def fraction_at(self, step: int, end: int) -> float:
        return 0.0 if 0 < end <= step else self.fraction
