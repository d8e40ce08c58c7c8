"""The layers that the kit asks an adapter's author to build."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

import numpy as np

from secateur.layout import Array
from secateur.testing import forward


@dataclass(frozen=True)
class _Example:
    kind: str
    shapes: Mapping[str, tuple[int, ...]]
    inputs: tuple[int, ...]
    compute: Callable[[Array, Mapping[str, Array]], Array]
    groups: int = 1
    heads: int = 1


def _conv(shape: tuple[int, ...], inputs: tuple[int, ...], groups: int = 1) -> _Example:
    kind: str = "depthwise" if groups == inputs[1] else "conv"
    compute = partial(forward.convolution, groups=groups)
    return _Example(kind, {"kernel": shape}, inputs, compute, groups)


def _transposed(shape: tuple[int, ...], inputs: tuple[int, ...]) -> _Example:
    return _Example("conv_transpose", {"kernel": shape}, inputs, forward.transposed_convolution)


def _rnn(gates: int, compute: Callable[[Array, Mapping[str, Array]], Array]) -> _Example:
    shapes = {"kernel": (gates, 6, 5), "recurrent": (gates, 6, 6)}
    return _Example("rnn", shapes, (2, 3, 5), compute)


_EXAMPLES = {
    "dense": _Example("dense", {"kernel": (6, 5)}, (3, 5), forward.dense),
    "conv1d": _conv((6, 4, 3), (2, 4, 7)),
    "conv2d": _conv((6, 4, 3, 2), (2, 4, 5, 6)),
    "conv3d": _conv((4, 3, 2, 3, 2), (1, 3, 3, 4, 5)),
    "grouped_conv2d": _conv((6, 2, 3, 2), (2, 4, 5, 6), groups=2),
    "depthwise_conv1d": _conv((8, 1, 3), (2, 4, 7), groups=4),
    "depthwise_conv2d": _conv((8, 1, 3, 2), (2, 4, 5, 6), groups=4),
    "conv_transpose1d": _transposed((4, 3, 3), (2, 3, 5)),
    "conv_transpose2d": _transposed((4, 3, 3, 2), (2, 3, 4, 5)),
    "conv_transpose3d": _transposed((3, 2, 2, 3, 2), (1, 2, 2, 3, 4)),
    "embedding": _Example("embedding", {"embedding": (9, 4)}, (2, 3), forward.embedding),
    "simple_rnn": _rnn(1, forward.simple_rnn),
    "lstm": _rnn(4, forward.lstm),
    "gru": _rnn(3, forward.gru),
    "attention": _Example(
        "attention",
        dict.fromkeys(("query", "key", "value", "output"), (6, 6)),
        (2, 4, 6),
        partial(forward.attention, heads=2),
        heads=2,
    ),
}
LAYERS = tuple(_EXAMPLES)
"""The types of layer that the kit knows."""


@dataclass(frozen=True)
class Layer:
    """One layer of a model that the kit asks for.

    The layer has no bias and no activation (recurrent layers have their usual ones, with
    ``reset_after`` in a GRU), stride 1 and no padding, and a recurrent one returns every
    state.

    Attributes:
        name: Its name in the model.
        type: One of `LAYERS`, or ``"other"``.
        weights: The canonical arrays, by role.

    Example:
        >>> layer = Layer("first", "dense", {"kernel": np.eye(2)})
        >>> layer.kind, layer.outputs(np.array([[1.0, 2.0]])).tolist()
        ('dense', [[1.0, 2.0]])

    """

    name: str
    type: str
    weights: Mapping[str, Array] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The kind that a plan must show."""
        return _EXAMPLES[self.type].kind

    @property
    def groups(self) -> int:
        """The groups of channels of a convolution."""
        return _EXAMPLES[self.type].groups

    @property
    def heads(self) -> int:
        """The heads of attention."""
        return _EXAMPLES[self.type].heads

    @property
    def dtype(self) -> str:
        """The dtype of the weights."""
        return str(next(iter(self.weights.values())).dtype)

    def inputs(self) -> Array:
        """Return a batch: channels first, rows for an embedding, times second for an RNN."""
        shape = _EXAMPLES[self.type].inputs
        if self.type == "embedding":
            return np.arange(np.prod(shape)).reshape(shape)
        return np.random.default_rng(1).normal(size=shape).astype(self.dtype)

    def outputs(self, inputs: Array) -> Array:
        """Return what the layer computes, in float64.

        Args:
            inputs: A batch, laid out as that of `inputs`.

        """
        wide = {role: array.astype(np.float64) for role, array in self.weights.items()}
        return _EXAMPLES[self.type].compute(inputs, wide)

    def holding(self, weights: Mapping[str, Array]) -> Layer:
        """Return the layer with other weights.

        Args:
            weights: Canonical arrays, by role.

        """
        return replace(self, weights=weights)


def example(type_: str, name: str = "first", dtype: str = "float32") -> Layer:
    """Return a layer of that type, full of ties, zeros of either sign among them.

    >>> example("gru").weights["kernel"].shape
    (3, 6, 5)
    """
    rng = np.random.default_rng(0)
    eighths = {
        role: cast(Array, rng.integers(-6, 7, shape) * rng.choice([-0.125, 0.125], shape))
        for role, shape in _EXAMPLES[type_].shapes.items()
    }
    return Layer(name, type_, {role: array.astype(dtype) for role, array in eighths.items()})


def network(dtype: str = "float32") -> list[Layer]:
    """Return two dense layers, ``first`` and ``second``, with hardly any ties."""
    rng = np.random.default_rng(0)
    shapes = {"first": (6, 5), "second": (4, 6)}
    return [
        Layer(name, "dense", {"kernel": rng.normal(size=shape).astype(dtype)})
        for name, shape in shapes.items()
    ]
