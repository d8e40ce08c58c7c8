"""What the name of a layer's class tells of its variables, where there is no layer.

A .weights.h5 file names a layer by its class, in snake case, or by the attribute that holds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from secateur.layout import (
    DENSE_IN_OUT,
    IDENTITY,
    KERAS_GRU_GATES,
    Layout,
    conv_hwio,
    conv_hwoi,
    depthwise_hwcm,
    matrix_in_out,
    rnn_in_gates,
)

Shape = tuple[int, ...]
_NUMBER = re.compile(r"_\d+$")


@dataclass(frozen=True)
class Variable:
    """A prunable variable of a layer.

    Attributes:
        role: Its role; with a layer within the layer before it, as in ``depthwise:kernel``.
        kind: Its kind.
        ranks: The ranks that it may have.
        layout: Leads from its shape to the canonical layout.

    """

    role: str
    kind: str
    ranks: tuple[int, ...]
    layout: Callable[[Shape], Layout]


def _dense(shape: Shape) -> Layout:
    return DENSE_IN_OUT


def _conv(shape: Shape) -> Layout:
    return conv_hwio(len(shape) - 2)


def _transposed(shape: Shape) -> Layout:
    return conv_hwoi(len(shape) - 2)


def _same(shape: Shape) -> Layout:
    return IDENTITY


def _rnn(gates: int, order: tuple[int, ...] = ()) -> tuple[Variable, ...]:
    def layout(shape: Shape) -> Layout:
        return rnn_in_gates(shape, gates, order)

    return tuple(Variable(role, "rnn", (2,), layout) for role in ("kernel", "recurrent"))


def _conv_of(rank: int) -> tuple[Variable, ...]:
    return (Variable("kernel", "conv", (rank,), _conv),)


def _separable(rank: int) -> tuple[Variable, ...]:
    return (
        Variable("depthwise:kernel", "depthwise", (rank,), depthwise_hwcm),
        Variable("pointwise:kernel", "conv", (rank,), _conv),
    )


_DENSE = (Variable("kernel", "dense", (2,), _dense),)
_EMBEDDING = (Variable("embedding", "embedding", (2,), _same),)
CLASSES: Mapping[str, tuple[Variable, ...]] = {
    "dense": _DENSE,
    "einsum_dense": _DENSE,
    "embedding": _EMBEDDING,
    "reversible_embedding": _EMBEDDING,
    **{f"conv{n}d": _conv_of(n + 2) for n in (1, 2, 3)},
    **{
        f"conv{n}d_transpose": (Variable("kernel", "conv_transpose", (n + 2,), _transposed),)
        for n in (1, 2, 3)
    },
    **{
        f"depthwise_conv{n}d": (Variable("kernel", "depthwise", (n + 2,), depthwise_hwcm),)
        for n in (1, 2)
    },
    **{f"separable_conv{n}d": _separable(n + 2) for n in (1, 2)},
    "simple_rnn_cell": _rnn(1),
    "lstm_cell": _rnn(4),
    "gru_cell": _rnn(3, KERAS_GRU_GATES),
}
"""The variables of the layers of Keras that are prunable, in the order of the file."""

_CELLS = {"simple_rnn": "simple_rnn_cell", "lstm": "lstm_cell", "gru": "gru_cell"}
_PROJECTIONS = {"query_dense": "query", "key_dense": "key", "value_dense": "value"}
_OUTPUT = "output_dense"
PROJECTIONS = (*_PROJECTIONS, _OUTPUT)
"""The attributes of the projections of an attention layer."""


def class_of(part: str, name: str, above: str) -> str | None:
    """Return the class of a layer, in snake case, or None if nothing tells it.

    >>> class_of("dense_1", "head", ""), class_of("fc", "dense_4", ""), class_of("fc", "fc", "")
    ('dense', 'dense', None)
    >>> class_of("cell", "my_cell", "gru")
    'gru_cell'

    Args:
        part: The last part of its path in the file.
        name: Its name, which is a class too unless a user gave it.
        above: The class of the layer that it belongs to.

    """
    if part == "cell" and above in _CELLS:
        return _CELLS[above]
    words = (_NUMBER.sub("", part), _NUMBER.sub("", name))
    known = {*CLASSES, *_CELLS, "multi_head_attention", "group_query_attention", "bidirectional"}
    return next((word for word in words if word in known), None)


def projection(part: str, shape: Shape) -> Variable | None:
    """Return the kernel of an attention layer's projection, by the attribute that holds it.

    Args:
        part: The attribute.
        shape: The shape of the kernel.

    """
    role = _PROJECTIONS.get(part, "output" if part == _OUTPUT else None)
    if role is None or len(shape) != 3:
        return None
    inputs = 2 if part == _OUTPUT else 1
    return Variable(role, "attention", (3,), lambda shape: matrix_in_out(shape, inputs))


def layout_as(kind: str, shape: Shape) -> Layout:
    """Return how Keras lays out a kernel of some kind.

    Args:
        kind: The kind, as a user says it.
        shape: The shape of the kernel.

    """
    if kind in ("dense", "attention") and len(shape) == 2:
        return DENSE_IN_OUT
    if len(shape) < 3:
        return IDENTITY
    by_kind = {"conv": _conv, "conv_transpose": _transposed, "depthwise": depthwise_hwcm}
    return by_kind.get(kind, _same)(shape)
