"""Whether a written file does what its model does, and still holds the zeros."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from secateur.errors import ExportError, listed
from secateur.exports.exported import ExportedWeight
from secateur.exports.stored import find
from secateur.hooks.exporter import ExportSource, Reading
from secateur.kinds import kind_named
from secateur.layout import Array

TOLERANCES = {"none": 1e-4, "float16": 1e-2, "dynamic": 0.1, "int8": 0.25}
"""The largest root mean square of the differences of outputs, over that of the outputs.

Without quantization, runtimes add the same float32 products in another order; float16 keeps 11
bits of a weight; int8 keeps 8 of weights, and of activations too.
"""


_SHORT_FLOATS = ("float16", "bfloat16")
"""Dtypes of models that are compared as float16 files are."""


def differences(expected: Sequence[Array], outputs: Sequence[Array]) -> tuple[float, float]:
    """Return the largest difference of two lists of outputs, and the relative difference.

    Raises:
        ExportError: There are more or fewer outputs, of other shapes, or with NaN in them.

    """
    if shapes(expected) != shapes(outputs):
        raise ExportError(
            f"the outputs of the file have the shapes {listed(map(str, shapes(outputs)))}, and "
            f"those of the model {listed(map(str, shapes(expected)))}"
        )
    first = _joined(expected)
    second = _joined(outputs)
    if not np.isfinite(first).all():
        raise ExportError(
            "the outputs of the model itself hold NaN or infinity on these inputs, so the file "
            "cannot be compared; give other inputs="
        )
    if not np.isfinite(second).all():
        raise ExportError(
            "the outputs of the file hold NaN or infinity, and those of the model not"
        )
    apart = np.abs(first - second)
    scale = float(np.sqrt(np.mean(first**2))) if first.size else 0.0
    if not scale:
        scale = 1.0  # outputs that are all 0: the difference itself is compared
    relative = float(np.sqrt(np.mean(apart**2))) / scale if first.size else 0.0
    return float(apart.max(initial=0.0)), relative


def shapes(arrays: Sequence[Array]) -> list[tuple[int, ...]]:
    """Return the shape of each array."""
    return [np.shape(array) for array in arrays]


def _joined(arrays: Sequence[Array]) -> Array:
    return np.concatenate([np.asarray(a, np.float64).ravel() for a in arrays] or [np.zeros(0)])


def check_outputs(source: ExportSource, reading: Reading) -> tuple[float, float, float]:
    """Return the largest difference, the relative one, and its tolerance.

    Raises:
        ExportError: The file does not compute what the model computes.

    """
    tolerance = TOLERANCES[source.quantize]
    if any(str(weight.dtype) in _SHORT_FLOATS for weight in source.weights.values()):
        tolerance = max(tolerance, TOLERANCES["float16"])
    largest, relative = differences(reading.expected, reading.outputs)
    if relative > tolerance:
        raise ExportError(
            f"run by {reading.runtime} {reading.version}, the file differs from the model: "
            f"relative difference {relative:.3g}, at most {tolerance:g} for quantize="
            f"{source.quantize!r}; largest difference {largest:.3g}"
        )
    return largest, relative, tolerance


def check_zeros(source: ExportSource, reading: Reading) -> tuple[ExportedWeight, ...]:
    """Return the sparsity of each weight before and after.

    Raises:
        ExportError: A weight was found in the file, and a zero of it is not zero there.

    """
    return tuple(_checked(name, source, reading) for name in source.weights)


def _checked(name: str, source: ExportSource, reading: Reading) -> ExportedWeight:
    weight = source.weights[name]
    size = max(weight.size, 1)
    sparsity = 1 - np.count_nonzero(weight) / size
    found = find(weight, kind_named(source.kinds[name]).out_axis, reading.tensors)
    if found is None:
        return ExportedWeight(name, float(sparsity), None)
    if found.lost:
        raise ExportError(
            f"{name}: {found.lost:,} of {weight.size - np.count_nonzero(weight):,} zeros are not "
            f"zero in the file, the first at {found.where} (tensor {found.tensors[0]:.80})"
        )
    exported = found.zeros / size
    return ExportedWeight(name, float(sparsity), exported, found.tensors, found.dtypes)
