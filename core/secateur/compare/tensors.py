"""Which values differ between two checkpoint files, tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secateur.adapter import Checkpoint
from secateur.checkpoints.raw import comparable
from secateur.layout import FLOATS, Array


@dataclass(frozen=True)
class TensorChange:
    """The difference of one tensor in two checkpoints.

    Attributes:
        name: Its name.
        shapes: Its shape in each; None where a checkpoint has no such tensor.
        zeros: The number of zeros in each; None where there are no floats.
        changed: How many values differ; None where shapes differ.

    """

    name: str
    shapes: tuple[tuple[int, ...] | None, tuple[int, ...] | None]
    zeros: tuple[int | None, int | None]
    changed: int | None


def tensor_change(before: Checkpoint, after: Checkpoint, name: str) -> TensorChange:
    """Compare one tensor of two checkpoints; NaN equals NaN.

    Args:
        before: A checkpoint.
        after: Another one.
        name: The name of a tensor that one of them has at least.

    Raises:
        ModelError: The tensor cannot be read.

    """
    found = [each.tensors.get(name) for each in (before, after)]
    values = [
        None if tensor is None else comparable(each.read(name))
        for each, tensor in zip((before, after), found, strict=True)
    ]
    shapes = [None if tensor is None else tensor.shape for tensor in found]
    zeros = [None if v is None or not _is_float(v) else _zeros(v) for v in values]
    first, second = values
    changed = None
    if first is not None and second is not None and shapes[0] == shapes[1]:
        changed = _changed(first, second)
    return TensorChange(name, (shapes[0], shapes[1]), (zeros[0], zeros[1]), changed)


def _is_float(values: Array) -> bool:
    return values.dtype.name in FLOATS


def _zeros(values: Array) -> int:
    return values.size - int(np.count_nonzero(values))


def _changed(first: Array, second: Array) -> int:
    """Count the values that differ; those of other dtypes do, unless both are floats."""
    if first.dtype != second.dtype and not (_is_float(first) and _is_float(second)):
        return first.size
    same = (first == second) | ((first != first) & (second != second))
    return first.size - int(np.count_nonzero(same))
