"""RigL: drop by magnitude, grow by the gradient."""

from __future__ import annotations

import math
from typing import ClassVar

from secateur.components.criteria.criterion import GRADIENT, Criterion
from secateur.components.criteria.gradient_magnitude import GradientMagnitude
from secateur.components.criteria.regrowth import Fraction, Regrowth


class RigL(Regrowth):
    """Drop weights of small magnitude, and grow those with a large gradient.

    ``fraction(t) = fraction / 2 * (1 + cos(pi * t / end_step))`` of the kept weights change at
    step ``t``: none at `end_step`, from when on the masks stay (Evci et al. 2020, "Rigging the
    Lottery: Making All Tickets Winners", arXiv 1911.11134, with its alpha as `fraction`).  The
    gradient is that of the update just made; the paper makes none at such a step.

    Attributes:
        fraction: The share that changes at step 0.

    Example:
        >>> [round(RigL().fraction_at(step, 100), 3) for step in (0, 50, 100)]
        [0.3, 0.15, 0.0]

    """

    kind = "rigl"
    needs: ClassVar[frozenset[str]] = frozenset({GRADIENT})
    has_end = True
    fraction: Fraction = 0.3

    @property
    def grow(self) -> Criterion:
        return GradientMagnitude()

    def fraction_at(self, step: int, end: int) -> float:
        progress = min(step / end, 1.0) if end else 1.0
        return self.fraction / 2 * (1 + math.cos(math.pi * progress))
