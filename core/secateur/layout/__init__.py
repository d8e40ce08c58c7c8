"""The canonical layout, and the invertible steps that lead to it from a framework's own.

Canonical is ``(out, in, *spatial)`` for dense and convolution weights, ``(gate, out, in,
*spatial)`` for recurrent ones, ``(expert, out, in)`` for experts and ``(row, feature)`` for
embeddings.  A `Layout` is a short list of rearrangements; each has an exact inverse, so a mask
travels back the way its weight came.  They are views wherever NumPy allows: only `Take`, and a
`Reshape` that merges axes out of order, copy.
"""

from __future__ import annotations

from secateur.layout.layouts import (
    DENSE_IN_OUT,
    IDENTITY,
    KERAS_GRU_GATES,
    Layout,
    conv_hwio,
    conv_hwoi,
    conv_transpose_iohw,
    depthwise_hwcm,
    matrix_in_out,
    rnn_gates_in,
    rnn_in_gates,
)
from secateur.layout.rearrangements import (
    Array,
    Flip,
    Rearrangement,
    Reshape,
    Shape,
    Take,
    Transpose,
)

FLOATS = ("float16", "bfloat16", "float32", "float64")
"""The names of the dtypes that weights and scores may have."""

__all__ = [
    "DENSE_IN_OUT",
    "FLOATS",
    "IDENTITY",
    "KERAS_GRU_GATES",
    "Array",
    "Flip",
    "Layout",
    "Rearrangement",
    "Reshape",
    "Shape",
    "Take",
    "Transpose",
    "conv_hwio",
    "conv_hwoi",
    "conv_transpose_iohw",
    "depthwise_hwcm",
    "matrix_in_out",
    "rnn_gates_in",
    "rnn_in_gates",
]
