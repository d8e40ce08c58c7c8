"""The table: which attributes of a Keras layer are prunable, and how they are laid out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from operator import attrgetter
from typing import Any

import keras
import numpy as np

from secateur.adapter import QUANTIZED, LayerWeight, Unprunable
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
from secateur_keras.overrides import computed_in

Entries = tuple[LayerWeight, ...]

_LSTM_GATES = 4
TEACH = "a plugin's secateur_layer_weights hook can teach it"


def is_known(layer: Any) -> bool:
    """Return whether the table has the class of a layer, or a class that it extends."""
    return _known_class(layer) is not None


def entries_of(layer: Any) -> Entries | None:
    """Return the prunable attributes of a layer; None for a class that is not known.

    A subclass counts as the class that it extends, unless it computes its weights.  An attribute
    may be dotted.  A layer that is not built has none yet.

    Args:
        layer: Any layer of Keras.

    Raises:
        Unprunable: Its weights are other than those of the class that it extends.

    """
    known = _known_class(layer)
    if known is None:
        return None
    if not layer.built:
        return ()
    name = type(layer).__name__
    entries: Entries
    try:
        entries = _table_entry(known)(layer)
        for entry in entries:
            entry.layout.to_canonical(np.empty(_shape(layer, entry.attribute), np.bool_))
    except (AttributeError, ValueError) as error:
        raise Unprunable(
            f"{name} extends {known.__name__}, and has other weights than that ({error}); {TEACH}"
        ) from error
    for entry in entries:
        if method := computed_in(layer, known, entry.attribute):
            raise Unprunable(
                f"{name} extends {known.__name__}, and overrides {method}(), which uses "
                f"{entry.attribute}, so the weight that it multiplies by may be computed; {TEACH}"
            )
    return entries


def check_unmodified(layer: Any, entries: Sequence[LayerWeight]) -> None:
    """Check that the entries of a layer are what it computes with now.

    Args:
        layer: The layer.
        entries: Its prunable attributes.

    Raises:
        Unprunable: LoRA is enabled, or the layer is quantized.

    """
    owners = {id(owner): owner for owner in (layer, *(_owner(layer, each) for each in entries))}
    for owner in owners.values() if entries else ():
        if getattr(owner, "lora_enabled", False):
            raise Unprunable(
                "LoRA is enabled: prune before enable_lora(), which freezes the kernel"
            )
        mode = getattr(owner, "quantization_mode", None)
        if mode is not None:
            raise Unprunable(f"quantized to {mode}; {QUANTIZED}, which keeps the zeros")


def _owner(layer: Any, entry: LayerWeight) -> Any:
    """Return the layer, or the part of it, that an entry's attribute belongs to."""
    path, _, _ = entry.attribute.rpartition(".")
    return attrgetter(path)(layer) if path else layer


def _known_class(layer: Any) -> type | None:
    return next((cls for cls in type(layer).__mro__ if _table_entry(cls)), None)


def _table_entry(cls: type) -> Any:
    return _TABLE.get(cls) or _EXPERT_BANKS.get(cls.__name__)


def _shape(layer: Any, attribute: str) -> tuple[int, ...]:
    return tuple(attrgetter(attribute)(layer).shape)


def _gated_shape(layer: Any, attribute: str, gates: int, outputs: str) -> tuple[int, ...]:
    """Return the shape of a weight, whose last axis must hold all outputs of every gate."""
    shape, each = _shape(layer, attribute), attrgetter(outputs)(layer)
    if shape[-1] != gates * each:
        raise ValueError(f"its {attribute} {shape} is not for {gates} gates of {each}")
    return shape


def _dense(_layer: Any) -> Entries:
    return (LayerWeight("kernel", "dense", layout=DENSE_IN_OUT),)


def _einsum_dense(layer: Any) -> Entries:
    kind = "expert" if _axes(layer)[0] else "dense"
    return (LayerWeight("kernel", kind, layout=_einsum(layer)),)


def _axes(layer: Any) -> tuple[list[int], list[int], list[int]]:
    """Return the kernel's axes by what an EinsumDense does with them: expert, out, in.

    An expert's axis is one that input, kernel and output share; ``in`` is what is contracted.

    >>> bank = keras.layers.EinsumDense("eti,eio->eto", (None, 8))
    >>> _axes(bank)
    ([0], [2], [1])
    """
    operands, output = layer.equation.replace(" ", "").replace("...", "").split("->")
    inputs, kernel = operands.split(",")
    experts = [i for i, letter in enumerate(kernel) if letter in output and letter in inputs]
    outputs = [i for i, letter in enumerate(kernel) if letter in output and i not in experts]
    return experts, outputs, [i for i, letter in enumerate(kernel) if letter not in output]


def _einsum(layer: Any) -> Layout:
    """Lead to ``(out, in)``, or to ``(expert, out, in)``, each made of all axes of its kind."""
    axes = _axes(layer)
    experts, outputs, inputs = axes
    shape = _shape(layer, "kernel")
    order = (*experts, *outputs, *inputs)
    sizes = [prod(shape[axis] for axis in group) for group in axes]
    merged = tuple(sizes if experts else sizes[1:])
    return Layout((Transpose(order), Reshape(tuple(shape[axis] for axis in order), merged)))


def _conv(layer: Any) -> Entries:
    layout = conv_hwio(layer.rank)
    return (LayerWeight("kernel", "conv", layout=layout, groups=layer.groups),)


def _conv_transpose(layer: Any) -> Entries:
    return (LayerWeight("kernel", "conv_transpose", layout=conv_hwoi(layer.rank)),)


def _depthwise(layer: Any) -> Entries:
    return (LayerWeight("kernel", "depthwise", layout=depthwise_hwcm(_shape(layer, "kernel"))),)


def _separable(layer: Any) -> Entries:
    first = depthwise_hwcm(_shape(layer, "depthwise_kernel"))
    return (
        LayerWeight("depthwise_kernel", "depthwise", layout=first),
        LayerWeight("pointwise_kernel", "conv", layout=conv_hwio(layer.rank), groups=1),
    )


def _embedding(_layer: Any) -> Entries:
    return (LayerWeight("embeddings", "embedding", "embedding", IDENTITY),)


def _reversible_embedding(layer: Any) -> Entries:
    if layer.tie_weights:
        return _embedding(layer)
    back = LayerWeight("reverse_embeddings", "dense", layout=DENSE_IN_OUT)
    return (*_embedding(layer), back)


def _rnn(gates: int, order: tuple[int, ...] = (), prefix: str = "") -> Callable[[Any], Entries]:
    def entry(layer: Any, attribute: str, role: str) -> LayerWeight:
        shape = _gated_shape(layer, attribute, gates, f"{prefix}units")
        return LayerWeight(attribute, "rnn", role, rnn_in_gates(shape, gates, order))

    def entries(layer: Any) -> Entries:
        return (
            entry(layer, f"{prefix}kernel", "kernel"),
            entry(layer, f"{prefix}recurrent_kernel", "recurrent"),
        )

    return entries


def _conv_lstm(layer: Any) -> Entries:
    return (
        LayerWeight("cell.kernel", "rnn", "kernel", _gated_conv(layer, "cell.kernel")),
        LayerWeight(
            "cell.recurrent_kernel", "rnn", "recurrent", _gated_conv(layer, "cell.recurrent_kernel")
        ),
    )


def _gated_conv(layer: Any, attribute: str) -> Layout:
    """``(*spatial, in, gate*out)`` to ``(gate, out, in, *spatial)``."""
    shape = _gated_shape(layer, attribute, _LSTM_GATES, "cell.filters")
    *spatial, inputs, outputs = shape
    last = len(spatial)
    split = Reshape(shape, (*spatial, inputs, _LSTM_GATES, outputs // _LSTM_GATES))
    return Layout((split, Transpose((last + 1, last + 2, last, *range(last)))))


def _attention(layer: Any) -> Entries:
    roles: tuple[str, ...] = ("query", "key", "value", "output")
    return tuple(
        LayerWeight(
            f"_{role}_dense.kernel", "attention", role, _einsum(getattr(layer, f"_{role}_dense"))
        )
        for role in roles
    )


def _expert_bank(*attributes: str) -> Callable[[Any], Entries]:
    """Return the entries of a layer that keeps its experts as ``(expert, in, out)``."""
    layout = Layout((Transpose((0, 2, 1)),))
    entries = tuple(LayerWeight(name, "expert", layout=layout) for name in attributes)
    return lambda _layer: entries


_GATE, _UP, _DOWN = (
    f"_expert_feedforward_{name}_dense" for name in ("gate", "intermediate", "output")
)
_EXPERT_BANKS: dict[str, Callable[[Any], Entries]] = {
    "MixtralMoeExperts": _expert_bank(_GATE, _UP, _DOWN),
    "QwenMoeExperts": _expert_bank(_GATE, _DOWN),
    "Qwen3MoeExperts": _expert_bank(_GATE, _DOWN),
    "Qwen3_5MoeExperts": _expert_bank(_GATE, _DOWN),
    "GptOssExperts": _expert_bank("gate_up_proj", "down_proj"),
    "Gemma4MoEBlock": _expert_bank("gate_proj", "up_proj", "down_proj"),
}
"""The layers of keras_hub that hold all experts of a mixture, by the name of their class."""


_L = keras.layers
_TABLE: dict[type, Callable[[Any], Entries]] = {
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
    _L.LSTM: _rnn(_LSTM_GATES, prefix="cell."),
    _L.GRU: _rnn(3, KERAS_GRU_GATES, prefix="cell."),
    _L.SimpleRNNCell: _rnn(1),
    _L.LSTMCell: _rnn(_LSTM_GATES),
    _L.GRUCell: _rnn(3, KERAS_GRU_GATES),
    _L.ConvLSTM1D: _conv_lstm,
    _L.ConvLSTM2D: _conv_lstm,
    _L.ConvLSTM3D: _conv_lstm,
    _L.MultiHeadAttention: _attention,
    _L.GroupQueryAttention: _attention,
}

for _cls in (_L.Conv2D, _L.Conv2DTranspose, _L.DepthwiseConv2D, _L.SeparableConv2D):
    # what other libraries derive layers from; Keras exports no name for these bases
    _TABLE.setdefault(_cls.__bases__[0], _TABLE[_cls])

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
