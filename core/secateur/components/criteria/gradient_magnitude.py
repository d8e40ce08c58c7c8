"""The magnitude of the gradient: where the loss falls fastest."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from secateur.components.criteria.criterion import GRADIENT, Criterion
from secateur.layout import Array
from secateur.selection.context import Context


class GradientMagnitude(Criterion):
    """Keep weights with a large gradient: ``score = |g|``, compared in the gradient's own dtype.

    RigL grows weights by it (Evci et al. 2020, "Rigging the Lottery").

    Example:
        >>> context = Context("fc:kernel", 1, lambda: None, lambda: np.array([-2.0, 1.0]))
        >>> GradientMagnitude().score(np.zeros(2), context).tolist()
        [2.0, 1.0]

    """

    kind = "gradient_magnitude"
    elementwise = True
    needs: ClassVar[frozenset[str]] = frozenset({GRADIENT})

    def score(self, weight: Array, context: Context) -> Array:
        return np.abs(context.gradient)
