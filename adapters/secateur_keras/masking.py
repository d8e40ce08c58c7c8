"""Keep a variable masked: a constraint that every Keras optimizer runs inside its update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from secateur.layout import Array
from secateur_keras import in_place
from secateur_keras.weight import to_numpy

Constraint = Callable[[Any], Any]


class Held(keras.constraints.Constraint):  # type: ignore[misc]
    """The constraint of one pruned variable: first the user's own, then the mask.

    The mask is a Variable, so that a compiled step sees it change.
    """

    def __init__(self, variable: Any, mask: Any) -> None:
        self.variable, self.mask = variable, mask
        self.own: Constraint | None = variable.constraint
        self.average: Callable[[Any], Any] = _no_average

    def __call__(self, value: Any) -> Any:
        """Return the value with pruned weights +0.0; runs inside the compiled step."""
        if self.own is not None:
            value = self.own(value)
        if is_baked_in(self.mask, value):
            return value
        average = self.average(self.variable)
        if average is not None:
            self._zero(average)
        if value is self.variable and in_place.is_possible(value):
            in_place.mask(value, self.mask)
            return value
        return self._masked(value)

    def _zero(self, variable: Any) -> None:
        if in_place.is_possible(variable):
            in_place.mask(variable, self.mask)
        else:
            variable.assign(self._masked(variable))

    def _masked(self, value: Any) -> Any:
        """Select, never multiply: a product leaves -0.0, and NaN."""
        zero = ops.zeros((), dtype=keras.backend.standardize_dtype(self.variable.dtype))
        return ops.where(self.mask.value, ops.convert_to_tensor(value), zero)

    def apply(self, mask: Array) -> None:
        """Take a mask, in the variable's own layout, and zero what it prunes."""
        self._take(mask)
        self.enforce()

    def _take(self, mask: Array) -> None:
        if keras.backend.backend() == "torch":
            _replace(self.mask.value, mask)
        else:
            self.mask.assign(mask)

    def seen(self) -> Array:
        """Return the mask in the variable's own layout: a read-only view, where it can be one."""
        view = to_numpy(self.mask.value).view()
        view.flags.writeable = False
        return view

    def enforce(self) -> None:
        """Set pruned weights, and the moving averages of them, to +0.0 now."""
        self._zero(self.variable)
        average = self.average(self.variable)
        if average is not None:
            self._zero(average)

    def nonzero_pruned(self) -> int:
        """Return how many values are nonzero where the mask prunes."""
        pruned = ops.logical_not(self.mask.value)
        nonzero = ops.not_equal(ops.convert_to_tensor(self.variable), 0)
        return int(ops.count_nonzero(ops.logical_and(pruned, nonzero)))

    def release(self) -> None:
        """Give the variable its own constraint back, also in steps that stay compiled."""
        if self.variable.constraint is self:
            self.variable.constraint = self.own
        self._take(np.ones(self.mask.shape, bool))


def _no_average(_variable: Any) -> None:
    return None


def _replace(tensor: Any, mask: Array) -> None:
    """Give a torch tensor other memory: who holds a view of the old mask must not see it change."""
    import torch

    tensor.data = torch.tensor(mask, device=tensor.device)


def is_baked_in(mask: Any, value: Any) -> bool:
    """Tell whether JAX is tracing an update into which this mask would go as a constant.

    It would never change again, so such an update goes unmasked, and `enforce` follows it.
    """
    if keras.backend.backend() != "jax":
        return False
    import jax

    traced = getattr(value, "value", value)
    return isinstance(traced, jax.core.Tracer) and not isinstance(mask.value, jax.core.Tracer)
