"""Movement: whether training moves a weight away from zero, or towards it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from secateur.components.criteria.criterion import GRADIENT, Criterion
from secateur.layout import Array
from secateur.selection.context import Context


class Movement(Criterion):
    """Keep weights that move away from zero: ``score = -sum over steps of w g``.

    ``S = S - w g`` at each step, 4 bytes a weight (Sanh et al. 2020, "Movement Pruning: Adaptive
    Sparsity by Fine-Tuning", equation 4, without the constant learning rate).  Here ``w`` is the
    value after the update whose gradient ``g`` is.

    Example:
        >>> none = {"sum": np.zeros(2, np.float32)}
        >>> Movement().update(none, np.array([1.0, -2.0]), np.array([-3.0, -1.0]), None)
        {'sum': array([ 3., -2.])}

    """

    kind = "movement"
    elementwise = True
    needs: ClassVar[frozenset[str]] = frozenset({GRADIENT})
    memory: ClassVar[Mapping[str, str]] = {"sum": "float32"}

    def update(
        self, state: Mapping[str, Array], weight: Array, gradient: Any, context: Context
    ) -> Mapping[str, Array]:
        return {"sum": state["sum"] - weight.astype(np.float64) * gradient}

    def score(self, weight: Array, context: Context) -> Array:
        return context.memory["sum"]
