"""The criterion: it needs gradients, and keeps an array of each weight's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

import secateur


class SteadySign(secateur.Criterion):
    """Keep weights whose gradient keeps its sign: ``|m|``, where ``m`` is the mean of ``sign(g)``.

    ``m = decay * m + (1 - decay) * sign(g)`` at each step.

    Attributes:
        decay: The share of the mean that stays at each step.

    Example:
        >>> state = {"mean": np.float32([0.5, -0.5])}
        >>> SteadySign(decay=0.5).update(state, np.ones(2), np.array([3.0, 3.0]), None)
        {'mean': array([0.75, 0.25])}

    """

    kind = "steady_sign"
    elementwise = True
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    memory: ClassVar[Mapping[str, str]] = {"mean": "float32"}
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.9

    def update(
        self, state: Mapping[str, Any], weight: Any, gradient: Any, context: Any
    ) -> dict[str, Any]:
        return {"mean": self.decay * state["mean"] + (1 - self.decay) * np.sign(gradient)}

    def score(self, weight: Any, context: Any) -> Any:
        return np.abs(context.memory["mean"])
