"""Saliency: by how much the loss changes, to first order, when a weight becomes zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from secateur.components.criteria.criterion import GRADIENT, Criterion
from secateur.layout import Array
from secateur.selection.context import Context

Decay = Annotated[float, Field(ge=0, lt=1)]
"""The share of a running mean that stays at each step."""


def running_mean(mean: Array, new: Array, decay: float) -> Array:
    """Return ``decay * mean + (1 - decay) * new``, in float64.

    >>> running_mean(np.float32([1.0]), np.float32([3.0]), 0.5)
    array([2.])
    """
    found: Array = decay * mean.astype(np.float64) + (1 - decay) * new
    return found


class Saliency(Criterion):
    """Keep weights with a large ``|w g|``, of the last update or its running mean.

    ``score = |w g|``, computed in float64, where the product of two float32 values is exact
    (Mozer and Smolensky 1988, "Skeletonization"; Molchanov et al. 2017, "Pruning Convolutional
    Neural Networks for Resource Efficient Inference").  With `decay`, the mean
    ``m = decay * m + (1 - decay) * |w g|`` over all steps, 4 bytes a weight.

    Attributes:
        decay: The share of the mean that stays at each step; 0 takes the last update alone.

    Example:
        >>> context = Context("fc:kernel", 1, lambda: None, lambda: np.array([-2.0, 1.0]))
        >>> Saliency().score(np.array([1.0, 3.0]), context).tolist()
        [2.0, 3.0]

    """

    kind = "saliency"
    elementwise = True
    needs: ClassVar[frozenset[str]] = frozenset({GRADIENT})
    decay: Decay = 0.0

    @property
    def memory(self) -> Mapping[str, str]:  # type: ignore[override]
        return {"mean": "float32"} if self.decay else {}

    def update(
        self, state: Mapping[str, Array], weight: Array, gradient: Any, context: Context
    ) -> Mapping[str, Array]:
        return {"mean": running_mean(state["mean"], _product(weight, gradient), self.decay)}

    def score(self, weight: Array, context: Context) -> Array:
        if self.decay:
            return context.memory["mean"]
        return _product(weight, context.gradient)


def _product(weight: Array, gradient: Array) -> Array:
    found: Array = np.abs(weight.astype(np.float64) * gradient)
    return found
