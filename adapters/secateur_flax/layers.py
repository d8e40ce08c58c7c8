"""The table layer class -> prunable weights, with the layout of each.

A class is looked up along its bases, so a user's subclass of `nnx.Linear` is known too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import prod
from operator import attrgetter
from typing import Any

from flax import nnx

from secateur.adapter import LayerWeight, Unprunable
from secateur.layout import (
    DENSE_IN_OUT,
    Flip,
    Layout,
    Reshape,
    Transpose,
    conv_hwio,
    conv_hwoi,
    matrix_in_out,
    rnn_in_gates,
)

NORMALIZATION_LAYERS = (
    nnx.BatchNorm,
    nnx.GroupNorm,
    nnx.InstanceNorm,
    nnx.LayerNorm,
    nnx.RMSNorm,
    nnx.SpectralNorm,
    nnx.WeightNorm,
)
"""Layers whose parameters are never pruned."""

Entries = list[LayerWeight]


@dataclass(frozen=True)
class StackedLayerWeight(LayerWeight):
    """An entry for a weight that is kept in several parameters, stacked along a new first axis.

    Attributes:
        attributes: The parameters, in the order of the first axis.

    """

    attributes: tuple[str, ...] = ()


def attributes_of(entry: LayerWeight) -> tuple[str, ...]:
    """Return the attributes that keep a weight.

    Args:
        entry: The entry that describes it.

    """
    return entry.attributes if isinstance(entry, StackedLayerWeight) else (entry.attribute,)


def table_class(cls: type) -> type | None:
    """Return the class of the table that a layer's class is, or derives from.

    Args:
        cls: The class of a layer.

    """
    return next((base for base in cls.__mro__ if base in _TABLE), None)


def table_entries(layer: nnx.Module) -> Entries | None:
    """Return the prunable weights of a layer; None for a class that is not known.

    Args:
        layer: The layer.

    Raises:
        Unprunable: The layer must be left dense.

    Example:
        >>> conv = nnx.Conv(8, 8, (3, 3), feature_group_count=8, rngs=nnx.Rngs(0))
        >>> [(entry.attribute, entry.kind) for entry in table_entries(conv)]
        [('kernel', 'depthwise')]

    """
    known = table_class(type(layer))
    return None if known is None else _TABLE[known](layer)


def _shape(layer: Any, attribute: str = "kernel") -> tuple[int, ...]:
    return tuple(attrgetter(attribute)(layer).shape)


def _linear(_layer: Any) -> Entries:
    return [LayerWeight("kernel", "dense", layout=DENSE_IN_OUT)]


def _matrix(shape: tuple[int, ...], contracted: Collection[int]) -> Layout:
    """Merge the contracted axes into ``in`` and the others into ``out``."""
    kept = [axis for axis in range(len(shape)) if axis not in contracted]
    turned = tuple(shape[axis] for axis in (*kept, *contracted))
    merged = prod(turned[: len(kept)]), prod(turned[len(kept) :])
    return Layout((Transpose((*kept, *contracted)), Reshape(turned, merged)))


def _linear_general(layer: Any) -> Entries:
    first = len(layer.batch_axis)
    contracted = range(first, first + len(layer.in_features))
    return [LayerWeight("kernel", "dense", layout=_matrix(_shape(layer), contracted))]


def _einsum(layer: Any) -> Entries:
    operands, output = layer.einsum_str.split("->")
    letters = operands.split(",")[1]
    if "." in letters:
        raise Unprunable(f"the kernel of {layer.einsum_str} has axes without a letter")
    contracted = [axis for axis, letter in enumerate(letters) if letter not in output]
    return [LayerWeight("kernel", "dense", layout=_matrix(_shape(layer), contracted))]


def _conv(layer: Any) -> Entries:
    depthwise = layer.feature_group_count == layer.in_features > 1
    layout = conv_hwio(len(layer.kernel_size))
    kind, groups = "depthwise" if depthwise else "conv", layer.feature_group_count
    return [LayerWeight("kernel", kind, layout=layout, groups=groups)]


def _conv_transpose(layer: Any) -> Entries:
    spatial = len(layer.kernel_size)
    if layer.transpose_kernel:
        layout = conv_hwoi(spatial)
    else:  # correlated with the input as it is, where others take the gradient of a convolution
        layout = Layout((Flip(tuple(range(spatial))), *conv_hwio(spatial).steps))
    return [LayerWeight("kernel", "conv_transpose", layout=layout)]


def _embed(_layer: Any) -> Entries:
    return [LayerWeight("embedding", "embedding", "embedding")]


def _attention(layer: Any) -> Entries:
    parts: dict[str, str] = {"query": "query", "key": "key", "value": "value", "out": "output"}
    entries = []
    for part, role in parts.items():
        layout = matrix_in_out(_shape(layer, f"{part}.kernel"), 2 if part == "out" else 1)
        entries.append(LayerWeight(f"{part}.kernel", "attention", role, layout))
    return entries


def _cell(gates: int) -> Callable[[Any], Entries]:
    roles: dict[str, str] = {"dense_i.kernel": "kernel", "dense_h.kernel": "recurrent"}

    def entries(layer: Any) -> Entries:
        return [
            LayerWeight(name, "rnn", role, rnn_in_gates(_shape(layer, name), gates))
            for name, role in roles.items()
        ]

    return entries


def _lstm_cell(_layer: Any) -> Entries:
    layout = Layout((Transpose((0, 2, 1)),))
    kernels = tuple(f"{name}.kernel" for name in ("ii", "if_", "ig", "io"))
    recurrent = tuple(f"{name}.kernel" for name in ("hi", "hf", "hg", "ho"))
    return [
        StackedLayerWeight(kernels[0], "rnn", "kernel", layout, kernels),
        StackedLayerWeight(recurrent[0], "rnn", "recurrent", layout, recurrent),
    ]


def _lora(_layer: Any) -> Entries:
    raise Unprunable("LoRA adds to the kernel: prune the plain layer, or merge the two first")


_TABLE: dict[type, Callable[[Any], Entries]] = {
    nnx.Linear: _linear,
    nnx.LinearGeneral: _linear_general,
    nnx.Einsum: _einsum,
    nnx.Conv: _conv,
    nnx.ConvTranspose: _conv_transpose,
    nnx.Embed: _embed,
    nnx.MultiHeadAttention: _attention,
    nnx.LSTMCell: _lstm_cell,
    nnx.OptimizedLSTMCell: _cell(4),
    nnx.GRUCell: _cell(3),
    nnx.SimpleCell: _cell(1),
    nnx.LoRA: _lora,
    nnx.LoRALinear: _lora,
}
