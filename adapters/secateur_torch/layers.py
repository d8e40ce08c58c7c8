"""The table module class -> prunable weights, with the layout of each.

A class is looked up along its bases, so a user's subclass of `nn.Linear` is known too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.parametrize import is_parametrized

from secateur.adapter import LayerWeight
from secateur.layout import DENSE_IN_OUT, conv_transpose_iohw, rnn_gates_in

NORMALIZATION_LAYERS: tuple[type[nn.Module], ...] = (
    _NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
    nn.RMSNorm,
)
"""Layers whose parameters are never pruned."""


@dataclass(frozen=True)
class Row(LayerWeight):
    """A row of the table.

    `part` is appended to the layer's path (``l0.backward`` of a stacked bidirectional LSTM);
    `rows` are the first and the last-but-one row of a packed parameter.
    """

    part: str = ""
    rows: tuple[int, int] | None = None


def _linear(module: nn.Module) -> list[Row]:
    return [Row("weight", "dense")]


def _embedding(module: nn.Module) -> list[Row]:
    return [Row("weight", "embedding", "embedding")]


def _conv(module: Any) -> list[Row]:
    depthwise = module.groups == module.in_channels > 1
    return [Row("weight", "depthwise" if depthwise else "conv")]


def _conv_transpose(module: Any) -> list[Row]:
    spatial = len(module.kernel_size)
    shape = (module.in_channels, module.out_channels // module.groups, *module.kernel_size)
    return [
        Row(
            "weight",
            "conv_transpose",
            layout=conv_transpose_iohw(shape[: spatial + 2], module.groups),
        )
    ]


DIRECTIONS = {"": "forward", "_reverse": "backward"}
"""The directions of a bidirectional layer, by the ending of their parameters' names."""
_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _gated(attribute: str, role: str, shape: tuple[int, int], gates: int, part: str = "") -> Row:
    return Row(attribute, "rnn", role, rnn_gates_in(shape, gates), part)


def _rnn(module: nn.RNNBase) -> list[Row]:
    gates, hidden, projected = _GATES[module.mode], module.hidden_size, module.proj_size
    state = projected or hidden
    directions = DIRECTIONS if module.bidirectional else {"": ""}
    rows = []
    for layer in range(module.num_layers):
        inputs = state * len(directions) if layer else module.input_size
        for suffix, direction in directions.items():
            stored = f"l{layer}{suffix}"
            # a single layer is called as in Keras, by the module's name alone
            part = ".".join(filter(None, (f"l{layer}" * (module.num_layers > 1), direction)))
            sizes = ((gates * hidden, inputs), (gates * hidden, state))
            rows.append(_gated(f"weight_ih_{stored}", "kernel", sizes[0], gates, part))
            rows.append(_gated(f"weight_hh_{stored}", "recurrent", sizes[1], gates, part))
            if projected:
                rows.append(_gated(f"weight_hr_{stored}", "output", (projected, hidden), 1, part))
    return rows


def _rnn_cell(gates: int) -> Callable[[Any], list[Row]]:
    def rows(module: Any) -> list[Row]:
        outputs = gates * module.hidden_size
        return [
            _gated("weight_ih", "kernel", (outputs, module.input_size), gates),
            _gated("weight_hh", "recurrent", (outputs, module.hidden_size), gates),
        ]

    return rows


def _attention(module: nn.MultiheadAttention) -> list[Row]:
    width = module.embed_dim
    roles: tuple[str, ...] = ("query", "key", "value")
    kind: str = "attention"
    if module.in_proj_weight is None:
        inputs = [Row(f"{role[0]}_proj_weight", kind, role) for role in roles]
    else:
        inputs = [
            Row("in_proj_weight", kind, role, rows=(place * width, (place + 1) * width))
            for place, role in enumerate(roles)
        ]
    return [*inputs, Row("out_proj.weight", kind, "output")]


_TABLE: dict[type[nn.Module], Callable[[Any], list[Row]]] = {
    nn.Linear: _linear,
    nn.Bilinear: _linear,
    _ConvNd: _conv,
    _ConvTransposeNd: _conv_transpose,
    nn.Embedding: _embedding,
    nn.EmbeddingBag: _embedding,
    nn.RNNBase: _rnn,
    nn.RNNCell: _rnn_cell(1),
    nn.LSTMCell: _rnn_cell(4),
    nn.GRUCell: _rnn_cell(3),
    nn.MultiheadAttention: _attention,
}


def plain_class(module: nn.Module) -> type[nn.Module]:
    """Return the class of a module without what `fully_shard` and `parametrize` make of it.

    >>> from torch.nn.utils.parametrizations import weight_norm
    >>> plain_class(weight_norm(nn.Linear(2, 2))).__name__
    'Linear'
    """
    bases = (base for base in type(module).__mro__ if not _is_fsdp(base))
    cls: type[nn.Module] = next(bases)
    return next(bases) if is_parametrized(module) else cls


def _is_fsdp(cls: type) -> bool:
    return any(base.__name__ == "FSDPModule" for base in cls.__mro__)


def sharders(model: nn.Module) -> list[Any]:
    """Return the modules that `fully_shard` was called on."""
    return [module for module in model.modules() if _is_fsdp(type(module))]


def rows_of(module: nn.Module, cls: type[nn.Module]) -> list[Row] | None:
    """Return the prunable weights of a layer of a class, or None for a class not known.

    >>> [(row.attribute, row.kind) for row in rows_of(nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d)]
    [('weight', 'depthwise')]
    """
    if cls.__module__.startswith("torch.ao.nn.quantizable"):
        return None  # built of ordinary layers, which are found one by one
    if cls.__name__ == "Conv1D" and cls.__module__.startswith("transformers."):
        return [Row("weight", "dense", layout=DENSE_IN_OUT)]
    for base in cls.__mro__:
        if base in _TABLE:
            return _TABLE[base](module)
    return None
