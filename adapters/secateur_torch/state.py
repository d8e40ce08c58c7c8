"""All of a model's state: what its state dict holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from secateur.adapter import StatePart, StateTensor
from secateur.errors import ModelError
from secateur.layout import Array
from secateur_torch.checkpoint import special_layout
from secateur_torch.memory import packed_rows
from secateur_torch.weight import TorchWeight, from_numpy, to_numpy

_COMPILED = "_orig_mod."


def state_of(model: nn.Module, weights: Sequence[TorchWeight]) -> list[StateTensor]:
    """Return the tensors of a state dict, tied ones once; those of a compiled model as its own.

    Args:
        model: The model.
        weights: Its prunable weights.

    Raises:
        ModelError: Something in the state dict is no tensor with plain values in memory.

    """
    names: dict[tuple[object, ...], list[str]] = {}
    held: dict[tuple[object, ...], Tensor] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        _check(name, value)
        key = _place(value, name)
        names.setdefault(key, []).append(name.replace(_COMPILED, ""))
        held.setdefault(key, value)
    parts = _parts(weights)
    return [
        StateTensor(
            names[key][0],
            tuple(tensor.shape),
            str(tensor.dtype).removeprefix("torch."),
            partial(to_numpy, tensor),
            partial(_write, tensor),
            parts.get(id(tensor), ()),
            tuple(names[key][1:]),
        )
        for key, tensor in held.items()
    ]


def _check(name: str, value: Any) -> None:
    if not isinstance(value, Tensor) or name.endswith("_extra_state"):
        raise ModelError(
            f"{name:.80} in the state dict is a {type(value).__name__} that the module makes "
            "itself, and no parameter or buffer: it can be neither packed nor filled"
        )
    if hasattr(value, "device_mesh"):
        raise ModelError(
            f"{name:.80} is sharded over processes; gather the state dict, and pack that"
        )
    if value.is_meta:
        raise ModelError(
            f"{name:.80} is on the meta device and has no values yet; load them first, such as by "
            "model.to_empty(device='cpu') and load_state_dict"
        )
    if special := special_layout(value):
        raise ModelError(
            f"{name:.80} is {special}; its values cannot be read or written. To compare or measure "
            "them, pass {name: tensor.dequantize().numpy()}"
        )


def _place(tensor: Tensor, name: str) -> tuple[object, ...]:
    if not tensor.numel():
        return (name,)
    return (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())


def _parts(weights: Iterable[TorchWeight]) -> dict[int, tuple[StatePart, ...]]:
    """Return the weights in each parameter; a computed weight is not what the model stores."""
    found: dict[int, tuple[StatePart, ...]] = {}
    for weight in weights:
        if weight.slot.is_computed:
            continue
        spec, rows = weight.spec, packed_rows(weight.entry)
        part = StatePart(spec.name, spec.kind, weight.entry.layout, rows)
        key = id(weight.slot.parameter)
        found[key] = (*found.get(key, ()), part)
    return found


@torch.no_grad()
def _write(tensor: Tensor, values: Array) -> None:
    tensor.copy_(from_numpy(values).to(tensor.device))
