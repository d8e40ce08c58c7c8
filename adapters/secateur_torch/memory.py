"""Which weights are one: those that lie in the same memory in the same way."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from secateur.adapter import LayerWeight
from secateur.errors import ModelError
from secateur_torch.layers import TorchLayerWeight


class MemoryRange(NamedTuple):
    """Where a weight lies; two names of one weight have equal ranges.

    Attributes:
        start: The address of its first byte.
        end: The address after its last byte.
        shape: The shape of the tensor.
        stride: The strides of the tensor.
        packed_rows: The rows of the tensor that are the weight; None for all.

    """

    start: int
    end: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    packed_rows: tuple[int, int] | None


def packed_rows(entry: LayerWeight) -> tuple[int, int] | None:
    """Return the rows of a packed parameter that an entry describes; None for all."""
    return entry.packed_rows if isinstance(entry, TorchLayerWeight) else None


def memory_range(tensor: Tensor, entry: LayerWeight) -> MemoryRange:
    """Return where a weight lies.

    Args:
        tensor: The parameter.
        entry: The entry of the table that describes the weight.

    """
    rows = packed_rows(entry)
    shape, stride = tuple(tensor.shape), tuple(tensor.stride())
    if not tensor.numel() or hasattr(tensor, "device_mesh"):  # no memory, or a shard of it
        return MemoryRange(id(tensor), id(tensor), shape, stride, rows)
    start = tensor.data_ptr()
    last = sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    return MemoryRange(start, start + (last + 1) * tensor.element_size(), shape, stride, rows)


def refuse_overlaps(names: Mapping[MemoryRange, str]) -> None:
    """Raise ModelError for two weights that share memory and are not the same.

    Args:
        names: The name of the weight in each range.

    """
    for one, other in pairwise(sorted(names, key=lambda each: each[:2])):
        if other.start < one.end and one[:4] != other[:4]:
            raise ModelError(
                f"{names[one]} {one.shape} and {names[other]} {other.shape} lie in the same "
                "memory and are not the same weight, so each would undo the other's masks. Tie "
                "them by one Parameter, or give each its own memory: Parameter(value.clone())."
            )


class _Part:
    """Stands for some rows of a parameter, for as long as the parameter lives."""


_parts: dict[int, tuple[weakref.ref[Tensor], dict[tuple[int, int], _Part]]] = {}
"""The parts of each parameter, by its id."""


def identity_of(parameter: Tensor, rows: tuple[int, int] | None) -> object:
    """Return the object that stands for a weight: the parameter, or a part of it.

    Args:
        parameter: The parameter.
        rows: The rows that are the weight; None for all.

    Example:
        >>> import torch
        >>> packed = torch.nn.Parameter(torch.ones(4, 2))
        >>> identity_of(packed, (0, 2)) is identity_of(packed, (0, 2))
        True
        >>> identity_of(packed, (0, 2)) is identity_of(packed, (2, 4))
        False

    """
    if rows is None:
        return parameter
    key = id(parameter)
    if key not in _parts or _parts[key][0]() is not parameter:
        _parts[key] = (weakref.ref(parameter, lambda _: _parts.pop(key, None)), {})
    return _parts[key][1].setdefault(rows, _Part())
