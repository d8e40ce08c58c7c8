"""The table of layers: module class -> prunable weights, with the layout of each.

A class is looked up along its bases, so a user's subclass of `nn.Linear` is known too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from secateur.adapter import LayerWeight
from secateur.layout import DENSE_IN_OUT, conv_transpose_iohw, rnn_gates_in


def _common_base(cls: type[nn.Module], name: str) -> type[nn.Module]:
    """Return a base of a class that torch does not make public, or the class itself.

    Users derive layers from such bases, too; where torch has renamed one, those are not known.
    """
    return next((base for base in cls.__mro__ if base.__name__ == name), cls)


NORMALIZATION_LAYERS: tuple[type[nn.Module], ...] = (
    _common_base(nn.BatchNorm1d, "_NormBase"),
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
    nn.RMSNorm,
)
"""Layers whose parameters are never pruned."""


@dataclass(frozen=True)
class TorchLayerWeight(LayerWeight):
    """An entry of the table.

    Attributes:
        part: What is appended to the layer's path, such as ``l0.backward`` of a stacked
            bidirectional LSTM.
        packed_rows: The first row of a packed parameter that is this weight, and the first one
            after it; None for a weight that is the whole parameter.

    """

    part: str = ""
    packed_rows: tuple[int, int] | None = None


def _linear(module: nn.Module) -> list[TorchLayerWeight]:
    return [TorchLayerWeight("weight", "dense")]


def _embedding(module: nn.Module) -> list[TorchLayerWeight]:
    return [TorchLayerWeight("weight", "embedding", "embedding")]


def _conv(module: Any) -> list[TorchLayerWeight]:
    depthwise = module.groups == module.in_channels > 1
    kind = "depthwise" if depthwise else "conv"
    return [TorchLayerWeight("weight", kind, groups=module.groups)]


def _conv_transpose(module: Any) -> list[TorchLayerWeight]:
    spatial = len(module.kernel_size)
    shape = (module.in_channels, module.out_channels // module.groups, *module.kernel_size)
    layout = conv_transpose_iohw(shape[: spatial + 2], module.groups)
    return [TorchLayerWeight("weight", "conv_transpose", layout=layout, groups=module.groups)]


DIRECTIONS = {"": "forward", "_reverse": "backward"}
"""The directions of a bidirectional layer, by the ending of their parameters' names."""
_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _gated(
    attribute: str, role: str, shape: tuple[int, int], gates: int, part: str = ""
) -> TorchLayerWeight:
    return TorchLayerWeight(attribute, "rnn", role, rnn_gates_in(shape, gates), part)


def _rnn(module: nn.RNNBase) -> list[TorchLayerWeight]:
    gates, hidden, projected = _GATES[module.mode], module.hidden_size, module.proj_size
    state = projected or hidden
    directions = DIRECTIONS if module.bidirectional else {"": ""}
    entries = []
    for layer in range(module.num_layers):
        inputs = state * len(directions) if layer else module.input_size
        for suffix, direction in directions.items():
            stored = f"l{layer}{suffix}"
            # a single layer is called as in Keras, by the module's name alone
            part = ".".join(filter(None, (f"l{layer}" * (module.num_layers > 1), direction)))
            into, back = (gates * hidden, inputs), (gates * hidden, state)
            entries.append(_gated(f"weight_ih_{stored}", "kernel", into, gates, part))
            entries.append(_gated(f"weight_hh_{stored}", "recurrent", back, gates, part))
            if projected:
                out = (projected, hidden)
                entries.append(_gated(f"weight_hr_{stored}", "output", out, 1, part))
    return entries


def _rnn_cell(gates: int) -> Callable[[Any], list[TorchLayerWeight]]:
    def entries(module: Any) -> list[TorchLayerWeight]:
        outputs = gates * module.hidden_size
        return [
            _gated("weight_ih", "kernel", (outputs, module.input_size), gates),
            _gated("weight_hh", "recurrent", (outputs, module.hidden_size), gates),
        ]

    return entries


def _attention(module: nn.MultiheadAttention) -> list[TorchLayerWeight]:
    width = module.embed_dim
    roles: tuple[str, ...] = ("query", "key", "value")
    kind: str = "attention"
    if module.in_proj_weight is None:
        inputs = [TorchLayerWeight(f"{role[0]}_proj_weight", kind, role) for role in roles]
    else:
        inputs = [
            TorchLayerWeight(
                "in_proj_weight",
                kind,
                role,
                packed_rows=(number * width, (number + 1) * width),
            )
            for number, role in enumerate(roles)
        ]
    return [*inputs, TorchLayerWeight("out_proj.weight", kind, "output")]


_TABLE: dict[type[nn.Module], Callable[[Any], list[TorchLayerWeight]]] = {
    nn.Linear: _linear,
    nn.Bilinear: _linear,
    _common_base(nn.Conv1d, "_ConvNd"): _conv,
    _common_base(nn.ConvTranspose1d, "_ConvTransposeNd"): _conv_transpose,
    nn.Conv1d: _conv,
    nn.Conv2d: _conv,
    nn.Conv3d: _conv,
    nn.ConvTranspose1d: _conv_transpose,
    nn.ConvTranspose2d: _conv_transpose,
    nn.ConvTranspose3d: _conv_transpose,
    nn.Embedding: _embedding,
    nn.EmbeddingBag: _embedding,
    nn.RNNBase: _rnn,
    nn.RNNCell: _rnn_cell(1),
    nn.LSTMCell: _rnn_cell(4),
    nn.GRUCell: _rnn_cell(3),
    nn.MultiheadAttention: _attention,
    nn.PReLU: lambda module: [],
}


def plain_class(module: nn.Module) -> type[nn.Module]:
    """Return the class of a module without what `fully_shard` and `parametrize` make of it.

    Args:
        module: Any module.

    Example:
        >>> from torch.nn.utils.parametrizations import weight_norm
        >>> plain_class(weight_norm(nn.Linear(2, 2))).__name__
        'Linear'

    """
    bases = (base for base in type(module).__mro__ if not _is_fsdp(base))
    cls: type[nn.Module] = next(bases)
    return next(bases) if is_parametrized(module) else cls


def _is_fsdp(cls: type) -> bool:
    return any(base.__name__ == "FSDPModule" for base in cls.__mro__)


def sharded_modules(model: nn.Module) -> list[Any]:
    """Return the modules that `fully_shard` was called on."""
    return [module for module in model.modules() if _is_fsdp(type(module))]


def table_entries(module: nn.Module, cls: type[nn.Module]) -> list[TorchLayerWeight] | None:
    """Return the prunable weights of a layer of a class, or None for a class not known.

    Args:
        module: The layer.
        cls: Its `plain_class`.

    Example:
        >>> conv = nn.Conv2d(8, 8, 3, groups=8)
        >>> [(entry.attribute, entry.kind) for entry in table_entries(conv, nn.Conv2d)]
        [('weight', 'depthwise')]

    """
    if cls.__module__.startswith("torch.ao.nn.quantizable"):
        return None  # built of ordinary layers, which are found one by one
    if cls.__name__ == "Conv1D" and cls.__module__.startswith("transformers."):
        return [TorchLayerWeight("weight", "dense", layout=DENSE_IN_OUT)]
    base = table_class(cls)
    return _TABLE[base](module) if base else None


def is_of_torch(thing: Any) -> bool:
    """Return whether a class or function is defined by torch itself.

    Args:
        thing: A class or a function.

    """
    name = getattr(thing, "__module__", None) or ""
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    return file.startswith(str(Path(torch.__file__).parent))


def table_class(cls: type[nn.Module]) -> type[nn.Module] | None:
    """Return the class of the table that a class is or derives from; None for others."""
    return next((base for base in cls.__mro__ if base in _TABLE), None)
