"""The gradients of the last update, each read once, in the weight's dtype and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from secateur.adapter import Weight
from secateur.errors import ModelError, WeightError, listed
from secateur.layout import Array


class Gradients:
    """The gradients of one update.

    Args:
        weights: Those whose criteria need gradients.
        given: The gradients that the caller has, by weight name; None asks the weights.

    """

    def __init__(
        self, weights: Sequence[Weight] = (), given: Mapping[str, Array] | None = None
    ) -> None:
        self._weights, self._given = weights, given
        self._read: dict[str, Array | None] = {}
        self._checked: dict[str, Array] = {}

    def read(self, weight: Weight) -> Array | None:
        """Return the gradient of a weight as it is; None where it had no part in the update."""
        name = weight.spec.name
        if name not in self._read:
            given = self._given
            self._read[name] = weight.gradient() if given is None else given.get(name)
        return self._read[name]

    def of(self, weight: Weight) -> Array:
        """Return the gradient of a weight; zeros where it had no part in the update.

        Raises:
            WeightError: It holds a NaN or infinity.
            ModelError: It has another shape than the weight, or the update had no gradient.

        """
        name = weight.spec.name
        if name not in self._checked:
            self.require()
            self._checked[name] = _checked(weight, self.read(weight))
        return self._checked[name]

    def require(self) -> None:
        """Check that the update had a gradient at all.

        Raises:
            ModelError: None of the weights has one, though some are trained.

        """
        trained = [weight for weight in self._weights if weight.spec.trainable] or self._weights
        if all(self.read(weight) is None for weight in trained):
            names = listed((weight.spec.name for weight in trained), 3) or "the weights"
            raise ModelError(
                f"none of {names} has a gradient, which the criterion needs. In a loop of your "
                "own, call pruner.step() after the optimizer's update and before gradients are "
                "cleared, or pass gradients={name: array} to it; an update that was compiled "
                "before secateur.attach() keeps none, so compile it after."
            )


def _checked(weight: Weight, gradient: Array | None) -> Array:
    values, name = weight.read(), weight.spec.name
    if gradient is None:
        return np.zeros(values.shape, values.dtype)
    if gradient.shape != values.shape:
        raise ModelError(
            f"{name}: the gradient has shape {gradient.shape}, and the weight {values.shape}"
        )
    with np.errstate(over="ignore"):
        gradient = gradient.astype(values.dtype, copy=False)
    finite = np.isfinite(gradient)
    if not finite.all():
        where = tuple(map(int, np.argwhere(~finite)[0]))
        raise WeightError(
            f"{name}: the gradient at {where} is {gradient[where]}, so that the weight cannot be "
            "ranked by it; nothing was changed. Find where training diverged, and try again."
        )
    return gradient
