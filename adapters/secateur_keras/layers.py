"""The table: which attributes of a Keras layer are prunable, and how they are laid out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import keras
import numpy as np

from secateur.adapter import LayerWeight
from secateur.layout import (
    DENSE_IN_OUT,
    IDENTITY,
    KERAS_GRU_GATES,
    Layout,
    Reshape,
    Transpose,
    conv_hwio,
    conv_hwoi,
    depthwise_hwcm,
    rnn_in_gates,
)

Rows = tuple[LayerWeight, ...]


class Misfit(Exception):  # noqa: N818 - not an error: the reason why a layer is skipped
    """A layer whose class extends a known one, and whose weights are other than that one's."""


def rows_of(layer: Any) -> Rows | None:
    """Return the prunable attributes of a layer; None for a class that is not known.

    A subclass counts as the class that it extends.  An attribute may be dotted.  A layer that
    is not built has none yet.  Raises Misfit.
    """
    known = next((cls for cls in type(layer).__mro__ if cls in _TABLE), None)
    if known is None or not layer.built:
        return None if known is None else ()
    try:
        rows = _TABLE[known](layer)
        for row in rows:
            row.layout.to_canonical(np.empty(_shape(layer, row.attribute), np.bool_))
    except (AttributeError, ValueError) as error:
        raise Misfit(
            f"{type(layer).__name__} extends {known.__name__}, and has other weights than that "
            f"({error}); a plugin can teach it by the hook secateur_layer_weights"
        ) from error
    return rows


def refusal(layer: Any, rows: Sequence[LayerWeight]) -> str | None:
    """Return why the rows of a layer must not be pruned now, or None."""
    owners = {id(owner): owner for owner in (layer, *(owner_of(layer, row) for row in rows))}
    for owner in owners.values():
        if getattr(owner, "lora_enabled", False):
            return "LoRA is enabled: prune before enable_lora(), which freezes the kernel"
        mode = getattr(owner, "quantization_mode", None)
        if mode is not None:
            return f"quantized to {mode}: prune before quantize(), which keeps the zeros"
    return None


def owner_of(layer: Any, row: LayerWeight) -> Any:
    """Return the layer, or the part of it, that a row's attribute belongs to."""
    path, _, _ = row.attribute.rpartition(".")
    return attrgetter(path)(layer) if path else layer


def _shape(layer: Any, attribute: str) -> tuple[int, ...]:
    return tuple(attrgetter(attribute)(layer).shape)


def _gated_shape(layer: Any, attribute: str, gates: int, outputs: str) -> tuple[int, ...]:
    """Return a shape whose last axis is that many gates of as many outputs as the layer says."""
    shape, each = _shape(layer, attribute), attrgetter(outputs)(layer)
    if shape[-1] != gates * each:
        raise ValueError(f"its {attribute} {shape} is not for {gates} gates of {each}")
    return shape


def _dense(_layer: Any) -> Rows:
    return (LayerWeight("kernel", "dense", layout=DENSE_IN_OUT),)


def _einsum_dense(layer: Any) -> Rows:
    return (LayerWeight("kernel", "dense", layout=_einsum(layer)),)


def _einsum(layer: Any) -> Layout:
    """Kernel axes that the output also has make ``out``; the contracted ones make ``in``."""
    operands, output = layer.equation.replace(" ", "").split("->")
    letters = operands.split(",")[1].replace("...", "")
    contracted = [axis for axis, letter in enumerate(letters) if letter not in output]
    kept = [axis for axis, letter in enumerate(letters) if letter in output]
    shape = _shape(layer, "kernel")
    turned = tuple(shape[axis] for axis in kept + contracted)
    outputs, inputs = 1, 1
    for axis in kept:
        outputs *= shape[axis]
    for axis in contracted:
        inputs *= shape[axis]
    return Layout((Transpose((*kept, *contracted)), Reshape(turned, (outputs, inputs))))


def _conv(layer: Any) -> Rows:
    return (LayerWeight("kernel", "conv", layout=conv_hwio(layer.rank)),)


def _conv_transpose(layer: Any) -> Rows:
    return (LayerWeight("kernel", "conv_transpose", layout=conv_hwoi(layer.rank)),)


def _depthwise(layer: Any) -> Rows:
    return (LayerWeight("kernel", "depthwise", layout=depthwise_hwcm(_shape(layer, "kernel"))),)


def _separable(layer: Any) -> Rows:
    first = depthwise_hwcm(_shape(layer, "depthwise_kernel"))
    return (
        LayerWeight("depthwise_kernel", "depthwise", layout=first),
        LayerWeight("pointwise_kernel", "conv", layout=conv_hwio(layer.rank)),
    )


def _embedding(_layer: Any) -> Rows:
    return (LayerWeight("embeddings", "embedding", "embedding", IDENTITY),)


def _reversible_embedding(layer: Any) -> Rows:
    if layer.tie_weights:
        return _embedding(layer)
    back = LayerWeight("reverse_embeddings", "dense", layout=DENSE_IN_OUT)
    return (*_embedding(layer), back)


def _rnn(gates: int, order: tuple[int, ...] = (), prefix: str = "") -> Callable[[Any], Rows]:
    def row(layer: Any, attribute: str, role: str) -> LayerWeight:
        shape = _gated_shape(layer, attribute, gates, f"{prefix}units")
        return LayerWeight(attribute, "rnn", role, rnn_in_gates(shape, gates, order))

    def rows(layer: Any) -> Rows:
        return (
            row(layer, f"{prefix}kernel", "kernel"),
            row(layer, f"{prefix}recurrent_kernel", "recurrent"),
        )

    return rows


def _conv_lstm(layer: Any) -> Rows:
    return (
        LayerWeight("cell.kernel", "rnn", "kernel", _gated_conv(layer, "cell.kernel")),
        LayerWeight(
            "cell.recurrent_kernel", "rnn", "recurrent", _gated_conv(layer, "cell.recurrent_kernel")
        ),
    )


def _gated_conv(layer: Any, attribute: str, gates: int = 4) -> Layout:
    """``(*spatial, in, gate*out)`` to ``(gate, out, in, *spatial)``."""
    shape = _gated_shape(layer, attribute, gates, "cell.filters")
    *spatial, inputs, outputs = shape
    last = len(spatial)
    split = Reshape(shape, (*spatial, inputs, gates, outputs // gates))
    return Layout((split, Transpose((last + 1, last + 2, last, *range(last)))))


def _attention(layer: Any) -> Rows:
    roles: tuple[str, ...] = ("query", "key", "value", "output")
    return tuple(
        LayerWeight(
            f"_{role}_dense.kernel", "attention", role, _einsum(getattr(layer, f"_{role}_dense"))
        )
        for role in roles
    )


_L = keras.layers
_TABLE: dict[type, Callable[[Any], Rows]] = {
    _L.Dense: _dense,
    _L.EinsumDense: _einsum_dense,
    _L.Conv1D: _conv,
    _L.Conv2D: _conv,
    _L.Conv3D: _conv,
    _L.Conv1DTranspose: _conv_transpose,
    _L.Conv2DTranspose: _conv_transpose,
    _L.Conv3DTranspose: _conv_transpose,
    _L.DepthwiseConv1D: _depthwise,
    _L.DepthwiseConv2D: _depthwise,
    _L.SeparableConv1D: _separable,
    _L.SeparableConv2D: _separable,
    _L.Embedding: _embedding,
    _L.SimpleRNN: _rnn(1, prefix="cell."),
    _L.LSTM: _rnn(4, prefix="cell."),
    _L.GRU: _rnn(3, KERAS_GRU_GATES, prefix="cell."),
    _L.SimpleRNNCell: _rnn(1),
    _L.LSTMCell: _rnn(4),
    _L.GRUCell: _rnn(3, KERAS_GRU_GATES),
    _L.ConvLSTM1D: _conv_lstm,
    _L.ConvLSTM2D: _conv_lstm,
    _L.ConvLSTM3D: _conv_lstm,
    _L.MultiHeadAttention: _attention,
    _L.GroupQueryAttention: _attention,
}

if hasattr(_L, "ReversibleEmbedding"):  # not in the oldest Keras that we run with
    _TABLE[_L.ReversibleEmbedding] = _reversible_embedding

NORMALIZATION_LAYERS: tuple[type, ...] = tuple(
    getattr(_L, name)
    for name in (
        "BatchNormalization",
        "GroupNormalization",
        "LayerNormalization",
        "Normalization",
        "RMSNormalization",
        "SpectralNormalization",
        "UnitNormalization",
    )
    if hasattr(_L, name)
)
