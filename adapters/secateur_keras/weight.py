"""One prunable variable, read in canonical layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import ml_dtypes
import numpy as np

from secateur.adapter import Collected, Weight, WeightSpec
from secateur.layout import Array, Layout


class KerasWeight(Weight):
    """A Keras variable seen in canonical layout.

    Args:
        weight: The variable, as a walk over the model found it.
        sync: Brings the variable's value up to date where the trainer keeps it elsewhere.
        find_gradient: Finds the last gradient by weight name, in the variable's own layout.

    """

    def __init__(
        self,
        weight: Collected[Any],
        sync: Callable[[], None],
        find_gradient: Callable[[str], Array | None],
    ) -> None:
        found = weight.found
        self.variable = found.where
        self.layout: Layout = found.entry.layout
        self._sync, self._find_gradient = sync, find_gradient
        # A shape is found by moving an empty array, which costs no memory.
        shape = self.layout.to_canonical(np.empty(self.variable.shape, np.bool_)).shape
        self.spec = WeightSpec(
            name=found.name,
            kind=found.entry.kind,
            role=found.entry.role,
            shape=shape,
            dtype=keras.backend.standardize_dtype(self.variable.dtype),
            layer=found.layer,
            aliases=weight.aliases,
            trainable=bool(self.variable.trainable),
            alias_layers=weight.alias_layers,
            groups=found.entry.groups,
        )

    def read(self) -> Array:
        self._sync()
        view = self.layout.to_canonical(to_numpy(self.variable.value))
        view.flags.writeable = False
        return view

    def write(self, values: Array) -> None:
        self._sync()
        self.variable.assign(from_numpy(self.layout.from_canonical(values)))

    def gradient(self) -> Array | None:
        self._sync()
        gradient = self._find_gradient(self.spec.name)
        if gradient is None:
            return None
        view = self.layout.to_canonical(gradient).view()
        view.flags.writeable = False
        return view

    def identity(self) -> object:
        return self.variable


def to_numpy(value: Any) -> Array:
    """Return a backend tensor as an array of its own dtype, bfloat16 included.

    A view of its memory where that is the processor's; it may be writeable.

    Args:
        value: The value of a Keras variable.

    """
    if keras.backend.backend() == "torch":
        tensor = value.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":
            import torch

            bits: Array = tensor.view(torch.int16).numpy()
            return bits.view(ml_dtypes.bfloat16)
        native: Array = tensor.numpy()
        return native
    if hasattr(value, "read_value"):  # a tf.Variable, whose own numpy() would copy
        value = value.value()
    array: Array = np.asarray(value)
    return array


def from_numpy(values: Array) -> Any:
    """Return what a Keras variable can be assigned, bfloat16 included.

    Args:
        values: An array of the variable's dtype.

    """
    if keras.backend.backend() == "torch" and values.dtype.name == "bfloat16":
        import torch

        return torch.tensor(values.view(np.int16)).view(torch.bfloat16)
    return values
