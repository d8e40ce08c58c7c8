"""A Keras model as the exporters see it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import keras
import numpy as np

from secateur import ExportError
from secateur.layout import Array
from secateur_exports.inputs import in_order, random_array
from secateur_exports.models import Model

_SAMPLES = 4


class KerasModel(Model):
    """A model of Keras 3, called with ``training=False``.

    Args:
        model: The model.
        inputs: What a user gave, or None.

    Raises:
        ExportError: The model does not say what it takes, or the inputs do not fit.

    """

    batch: int | None = 1

    def __init__(self, model: Any, inputs: Any) -> None:
        self.model = model
        self.backend = keras.backend.backend()
        tensors = getattr(model, "inputs", None) or []
        if not tensors:
            raise ExportError(
                "this Keras model does not say what it takes, as a subclassed model does not: "
                "build a functional model of it, keras.Model(x, model(x)) with x = keras.Input(...)"
            )
        self._structure = model._inputs_struct if hasattr(model, "_inputs_struct") else tensors[0]
        self.tensors = tensors
        self.names = [tensor.name for tensor in tensors]
        self.shapes = [tuple(tensor.shape) for tensor in tensors]
        self.dtypes = [str(tensor.dtype) for tensor in tensors]
        self.inputs = self._random() if inputs is None else self.flat(inputs)
        if self.shapes[0][:1] != (None,):
            self.batch = self.shapes[0][0] if self.shapes[0] else None

    def _random(self) -> list[Array]:
        if any(None in shape[1:] for shape in self.shapes):
            raise ExportError(
                f"the shapes of the inputs are not fixed: {self.shapes}; give inputs="
            )
        known = zip(self.shapes, self.dtypes, strict=True)
        return [
            random_array([_SAMPLES if n is None else n for n in shape], dtype, number)
            for number, (shape, dtype) in enumerate(known)
        ]

    def flat(self, given: Any) -> list[Array]:
        arrays = in_order(given, self.names)
        for name, array, shape in zip(self.names, arrays, self.shapes, strict=True):
            fits = len(shape) == array.ndim and all(
                wanted in (None, n) for wanted, n in zip(shape, array.shape, strict=True)
            )
            if not fits:
                raise ExportError(f"input {name} has shape {array.shape}; the model takes {shape}")
        return [array.astype(d) for array, d in zip(arrays, self.dtypes, strict=True)]

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        with self._inference():
            outputs = self.call(list(arrays))
            return [np.asarray(keras.ops.convert_to_numpy(each)) for each in outputs]

    def call(self, arrays: Sequence[Any]) -> list[Any]:
        """Return the outputs of the model, flat, for tensors of its backend."""
        packed = keras.tree.pack_sequence_as(self._structure, list(arrays))
        return list(keras.tree.flatten(self.model(packed, training=False)))

    def _inference(self) -> Any:
        if self.backend != "torch":
            return nullcontext()
        import torch

        return torch.no_grad()

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        with _in_one_precision(self.model), self._evaluating():
            yield

    def _evaluating(self) -> AbstractContextManager[None]:
        if self.backend != "torch":
            return nullcontext()
        from secateur_exports.torch_model import evaluating

        return evaluating(self.model)


@contextmanager
def _in_one_precision(model: Any) -> Iterator[None]:
    """Let every layer compute in the dtype of its weights; afterwards each has its own policy.

    Mixed precision is for training: no runtime mixes float16 and float32 as Keras does.  A
    quantized layer keeps its policy, which says how its integers are read.

    Args:
        model: The model.

    """
    mixed = [
        (layer, layer.dtype_policy)
        for layer in model._flatten_layers()
        if layer.compute_dtype != layer.variable_dtype
        and not isinstance(layer.dtype_policy, keras.dtype_policies.QuantizedDTypePolicy)
    ]
    try:
        for layer, policy in mixed:
            layer.dtype_policy = policy.variable_dtype
        yield
    finally:
        for layer, policy in mixed:
            layer.dtype_policy = policy
