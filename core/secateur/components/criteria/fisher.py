"""Fisher: by how much the loss changes, to second order, when a weight becomes zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from secateur.components.criteria.criterion import GRADIENT, Criterion
from secateur.components.criteria.saliency import Decay, running_mean
from secateur.layout import Array
from secateur.selection.context import Context


class Fisher(Criterion):
    """Keep weights with a large ``w**2`` times the running mean of ``g**2``.

    The mean ``F = decay * F + (1 - decay) * g**2`` estimates the diagonal of the Fisher
    information from the gradients of batches (Theis et al. 2018, "Faster Gaze Prediction with
    Dense Networks and Fisher Pruning"); ``score = w**2 * F``.  It takes 4 bytes a weight.

    Attributes:
        decay: The share of the mean that stays at each step.

    Example:
        >>> Fisher(decay=0.5).update(
        ...     {"squares": np.zeros(1, np.float32)}, np.ones(1), np.array([2.0]), None
        ... )
        {'squares': array([2.])}

    """

    kind = "fisher"
    elementwise = True
    needs: ClassVar[frozenset[str]] = frozenset({GRADIENT})
    memory: ClassVar[Mapping[str, str]] = {"squares": "float32"}
    decay: Decay = 0.99

    def update(
        self, state: Mapping[str, Array], weight: Array, gradient: Any, context: Context
    ) -> Mapping[str, Array]:
        squares = np.square(np.asarray(gradient, np.float64))
        return {"squares": running_mean(state["squares"], squares, self.decay)}

    def score(self, weight: Array, context: Context) -> Array:
        return np.square(weight.astype(np.float64)) * context.memory["squares"]
