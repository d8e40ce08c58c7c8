"""Which weights are one: those that lie in the same memory in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from secateur.adapter import LayerWeight
from secateur.errors import ModelError
from secateur_torch.layers import Row


class Key(NamedTuple):
    """Where a weight lies: `start` and `end` in bytes, and what of it is the weight."""

    start: int
    end: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    rows: tuple[int, int] | None


def key_of(tensor: Tensor, row: LayerWeight) -> Key:
    """Return the key of a weight; two names of one weight have the same."""
    rows = row.rows if isinstance(row, Row) else None
    shape, stride = tuple(tensor.shape), tuple(tensor.stride())
    if not tensor.numel() or hasattr(tensor, "device_mesh"):  # no memory, or a shard of it
        return Key(id(tensor), id(tensor), shape, stride, rows)
    start = tensor.data_ptr()
    last = sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    return Key(start, start + (last + 1) * tensor.element_size(), shape, stride, rows)


def refuse_overlaps(names: Mapping[Key, str]) -> None:
    """Raise ModelError for two weights that share memory and are not the same."""
    for one, other in pairwise(sorted(names, key=lambda key: key[:2])):
        if other.start < one.end and one[:4] != other[:4]:
            raise ModelError(
                f"{names[one]} {one.shape} and {names[other]} {other.shape} lie in the same "
                "memory, and are not the same weight, so each would undo the other's masks. Tie "
                "them by one Parameter, or give each its own memory: Parameter(value.clone())."
            )
