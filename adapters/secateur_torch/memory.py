"""Which weights are one: those that lie in the same memory in the same way."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from torch import Tensor, nn

from secateur.adapter import LayerWeight
from secateur.errors import ModelError
from secateur_torch.layers import TorchLayerWeight
from secateur_torch.parametrization import ParameterSlot, own_tensor


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
    return MemoryRange(*memory_of(tensor), shape, stride, rows)


def memory_of(tensor: Tensor) -> tuple[int, int]:
    """Return the addresses of a tensor's first byte and past its last one.

    Args:
        tensor: A plain tensor.

    """
    last = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    start = tensor.data_ptr()
    return start, start + (last + 1) * tensor.element_size() if tensor.numel() else start


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


class _Token:
    """Stands for a weight, for as long as the module that holds it lives."""


_homes: dict[int, tuple[weakref.ref[nn.Module], str]] = {}
"""The slot at which each parameter was met first, by the parameter's id."""
_tokens: weakref.WeakKeyDictionary[Any, dict[object, _Token]] = weakref.WeakKeyDictionary()
"""The tokens of the weights of each module, by slot and rows."""


def identity_of(slot: ParameterSlot, rows: tuple[int, int] | None) -> object:
    """Return the object that stands for a weight: one for each parameter, or part of it.

    The parameter itself is not referenced, not even weakly: torch refuses to swap a tensor that
    is, as `Module.to` does with one of a class of its own.

    Args:
        slot: Where the parameter is stored.
        rows: The rows that are the weight; None for all.

    Example:
        >>> packed = nn.Linear(2, 4)
        >>> slot = ParameterSlot(packed, "weight")
        >>> identity_of(slot, (0, 2)) is identity_of(slot, (0, 2))
        True
        >>> identity_of(slot, (0, 2)) is identity_of(slot, (2, 4))
        False

    """
    owner, key = _home(slot)
    return _tokens.setdefault(owner, {}).setdefault((key, rows), _Token())


def _home(slot: ParameterSlot) -> tuple[nn.Module, str]:
    """Return the slot at which a parameter was met first, if it is still there."""
    parameter = slot.parameter
    known = id(parameter)
    if known in _homes:
        module, key = _homes[known][0](), _homes[known][1]
        if module is not None and own_tensor(module, key) is parameter:
            return module, key
    _homes[known] = weakref.ref(slot.owner, lambda _: _homes.pop(known, None)), slot.key
    return slot.owner, slot.key
