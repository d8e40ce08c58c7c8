"""Which values differ between two checkpoint files, tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secateur.adapter import Checkpoint
from secateur.layout import FLOATS


@dataclass(frozen=True)
class TensorChange:
    """The difference of one tensor in two checkpoints.

    Attributes:
        name: Its name.
        shapes: Its shape in each; None where a checkpoint has no such tensor.
        zeros: The number of zeros in each; None where there are no floats.
        changed: How many values differ; None where shapes differ or there are no floats.

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
    readable = [
        each.read(name) if tensor and tensor.dtype in FLOATS else None
        for each, tensor in zip((before, after), found, strict=True)
    ]
    zeros = [None if v is None else v.size - int(np.count_nonzero(v)) for v in readable]
    shapes = [None if tensor is None else tensor.shape for tensor in found]
    first, second = readable
    changed = None
    if first is not None and second is not None and shapes[0] == shapes[1]:
        same = (first == second) | (np.isnan(first) & np.isnan(second))
        changed = first.size - int(np.count_nonzero(same))
    return TensorChange(name, (shapes[0], shapes[1]), (zeros[0], zeros[1]), changed)
