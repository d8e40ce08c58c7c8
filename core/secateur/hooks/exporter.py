"""The contract of exporters, which write a pruned model in another form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from secateur.adapter import Binding
from secateur.layout import Array

QUANTIZATIONS = ("none", "float16", "dynamic", "int8")
"""How the weights of an exported model are stored: as they are, as float16, as int8 with
activations quantized while it runs, or as int8 with activations quantized by calibration."""


@dataclass(frozen=True)
class ExportSource:
    """What an exporter is given: a model, what is pruned in it, and how it is to be written.

    Attributes:
        model: The model itself; an exporter leaves it as it was.
        adapter: The name of its adapter, such as ``torch``.
        weights: The values of every prunable weight by name, in canonical layout.
        masks: The masks by name, canonical, True = kept; a weight may have none.
        kinds: The name of the kind of each weight, such as ``dense``.
        quantize: One of ``none``, ``float16``, ``dynamic`` and ``int8``.
        inputs: What the model is called with to compare it with the file, or None.
        calibration: Inputs for the ranges of the activations of ``int8``, or None.

    Example:
        >>> source = ExportSource({}, "numpy", {"fc": np.eye(2)}, {})
        >>> source.quantize
        'none'

    """

    model: Any
    adapter: str
    weights: Mapping[str, Array]
    masks: Mapping[str, Array]
    kinds: Mapping[str, str] = field(default_factory=dict)
    quantize: str = "none"
    inputs: Any = None
    calibration: Any = None


def source_of(
    model: Any,
    binding: Binding,
    quantize: str,
    inputs: Any = None,
    calibration: Any = None,
    masks: Mapping[str, Array] | None = None,
) -> ExportSource:
    """Return what an exporter is given of a bound model.

    Args:
        model: The model.
        binding: The model, bound.
        quantize: As in `ExportSource`.
        inputs: As there.
        calibration: As there.
        masks: As there; without them, what is not zero is kept.

    """
    weights = {weight.spec.name: weight.read() for weight in binding.weights}
    return ExportSource(
        model=model,
        adapter=binding.adapter,
        weights=weights,
        masks={name: array != 0 for name, array in weights.items()} if masks is None else masks,
        kinds={weight.spec.name: weight.spec.kind for weight in binding.weights},
        quantize=quantize,
        inputs=inputs,
        calibration=calibration,
    )


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as it lies in a written file.

    Attributes:
        name: Its name in the file.
        values: What is stored, which for a quantized tensor are integers.
        zero_point: The integer that stands for 0; or one for each index of `axis`, or an array
            that broadcasts.
        scale: What one step of a quantized tensor is worth, in the same form.
        axis: The axis along which `zero_point` and `scale` differ, where they do.

    Example:
        >>> tensor = StoredTensor("w", np.array([[3, 7], [3, 3]]), zero_point=3, scale=0.5)
        >>> tensor.is_zero().tolist(), tensor.real().tolist()
        ([[True, False], [True, True]], [[0.0, 2.0], [0.0, 0.0]])

    """

    name: str
    values: Array
    zero_point: Array | int = 0
    scale: Array | float = 1.0
    axis: int = 0

    def is_zero(self) -> Array:
        """Return which values stand for exactly 0."""
        return np.asarray(self.values == self._along_axis(self.zero_point))

    def real(self) -> Array:
        """Return the values that the runtime computes with, as float32."""
        steps = self.values.astype(np.float32) - self._along_axis(self.zero_point)
        return np.asarray(steps * self._along_axis(self.scale), np.float32)

    def _along_axis(self, each: Array | float) -> Array:
        given = np.asarray(each)
        if given.size <= 1:
            return given.reshape(())
        if given.ndim == self.values.ndim:
            return given
        shape = [1] * self.values.ndim
        shape[self.axis] = -1
        return given.reshape(shape)


@dataclass(frozen=True)
class Reading:
    """What came out of a written file when its runtime loaded and ran it.

    Attributes:
        runtime: The runtime, such as ``onnxruntime``.
        version: Its version.
        expected: The outputs of the source model.
        outputs: The outputs of the file on the same inputs, in the same order.
        tensors: Every constant in the file.
        notes: What a user should know of the file, one line each.

    Example:
        >>> Reading("onnxruntime", "1.32.0", [np.ones(2)], [np.ones(2)]).notes
        ()

    """

    runtime: str
    version: str
    expected: Sequence[Array]
    outputs: Sequence[Array]
    tensors: Sequence[StoredTensor] = field(default_factory=list)
    notes: tuple[str, ...] = ()


class Exporter(ABC):
    """Writes a model to a file, and reads back what it wrote.

    Attributes:
        kind: The name by which `secateur.export` finds it, as ``to``.
        quantizations: The kinds of quantization that it knows.
        refused: Why others are refused, by kind.

    Example:
        >>> class Names(Exporter):
        ...     kind = "names"
        ...
        ...     def export(self, source, path):
        ...         path.write_text(" ".join(source.weights))
        >>> Names().kind, Names().quantizations
        ('names', ('none',))

    """

    kind: ClassVar[str]
    quantizations: ClassVar[tuple[str, ...]] = ("none",)
    refused: ClassVar[Mapping[str, str]] = {}

    def refusal(self, source: ExportSource) -> str | None:
        """Return why this model cannot be written in this form, or None; nothing is written yet.

        Args:
            source: The model and what is wanted of it.

        """
        return None

    @abstractmethod
    def export(self, source: ExportSource, path: Path) -> Reading | None:
        """Write the file, load it, and run it.

        Args:
            source: The model and what is wanted of it.
            path: Where to write.  It lies in an empty folder of its own: what else is written
                there goes with it, and all of it is moved to its place once it is verified.

        Returns:
            What the runtime made of the file, which is then compared with the model; None for a
            form that no runtime runs.

        """
