"""A checkpoint as a model: a mapping of arrays for the reference adapter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod

import numpy as np

from secateur.adapter import Checkpoint, Tensor
from secateur.checkpoints.infer_kinds import Kinds, infer
from secateur.layout import FLOATS, Array
from secateur.numpy_adapter import ArrayBinding, NumpyAdapter

_STATISTICS = ("running_mean", "running_var")
"""What PyTorch keeps in a file, and does not train."""


class CheckpointBinding:
    """A checkpoint, bound.

    Args:
        checkpoint: The checkpoint.
        kinds: What the user says of some tensors.
        writable: Whether the values are copied, so that they can be pruned.
        blank: Whether the values are not read at all: of the weights only the specs count.

    Attributes:
        parts: Where in the file each weight lies, by the weight's name.
        binding: The binding over the weights that the file holds, in canonical layout.
        reasons: Why weights are of their kind, by name, where it is not their rank.

    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        kinds: Kinds = (),
        writable: bool = False,
        blank: bool = False,
    ) -> None:
        inferred = infer(checkpoint, kinds)
        self.parts = {part.weight: part for part in inferred.parts}
        self._arrays: dict[str, Array] = {}
        if blank:
            model = {
                part.weight: (
                    part.blank(checkpoint.tensors[part.tensor], checkpoint.path),
                    part.kind,
                )
                for part in inferred.parts
            }
        else:
            for name in dict.fromkeys(part.tensor for part in inferred.parts):
                values = checkpoint.read(name)
                self._arrays[name] = np.array(values) if writable else values
            model = {
                part.weight: (part.canonical(self._arrays[part.tensor]), part.kind)
                for part in inferred.parts
            }
        self.binding: ArrayBinding = NumpyAdapter().bind(
            {name: value if value[1] else value[0] for name, value in model.items()}
        )
        for weight in self.binding.weights:
            if layer := self.parts[weight.spec.name].layer:
                weight.spec = replace(weight.spec, layer=layer)
        self.binding.skipped = [*self.binding.skipped, *inferred.skipped]
        self.binding.adapter = checkpoint.adapter
        self.binding.ordered = checkpoint.ordered
        self.binding.knows_trainable = False
        self.binding.parameters = sum(map(_parameters, checkpoint.tensors.values()))
        self.reasons = {part.weight: part.reason for part in inferred.parts if part.reason}

    def changed(self, names: Iterable[str]) -> Mapping[str, Array]:
        """Return the tensors that hold some weights, as the binding has the values now.

        Args:
            names: The names of the weights.

        """
        arrays = {weight.spec.name: weight.array for weight in self.binding.weights}
        tensors = {}
        for name in names:
            part = self.parts[name]
            tensors[part.tensor] = self._arrays[part.tensor]
            part.put(arrays[name], tensors[part.tensor])
        return tensors


def _parameters(tensor: Tensor) -> int:
    """Return how many parameters of a model a tensor is."""
    last = tensor.name.rpartition(".")[2]
    return prod(tensor.shape) if tensor.dtype in FLOATS and last not in _STATISTICS else 0
