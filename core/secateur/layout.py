"""The canonical layout, and the invertible steps that lead to it from a framework's own.

Canonical is ``(out, in, *spatial)`` for dense and convolution, ``(gate, out, in,
*spatial)`` for recurrent and ``(row, feature)`` for embedding weights.  A `Layout` is a short
list of steps; each has an exact inverse, so a mask travels back the way its weight came.
Steps are views wherever NumPy allows (only `Take`, and a `Reshape` that merges
axes out of order, copy).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

FLOATS = ("float16", "bfloat16", "float32", "float64")
"""The names of the dtypes that weights and scores may have."""

KERAS_GRU_GATES = (1, 0, 2)
"""Where gates r, z, n stand in a Keras GRU, which stores z, r, h."""


class Rearrangement(Protocol):
    """One invertible rearrangement."""

    def forward(self, array: Array) -> Array:
        """Take the step towards the canonical layout."""
        ...

    def inverse(self, array: Array) -> Array:
        """Take it back."""
        ...

    def move(self, index: Array, shape: Shape) -> tuple[Array, Shape]:
        """Return where flat indices into `shape` stand afterwards, and the shape then."""
        ...


@dataclass(frozen=True)
class Transpose:
    """Reorder the axes, as `numpy.transpose`."""

    axes: tuple[int, ...]

    def forward(self, array: Array) -> Array:
        return array.transpose(self.axes)

    def inverse(self, array: Array) -> Array:
        return array.transpose(np.argsort(self.axes).tolist())

    def move(self, index: Array, shape: Shape) -> tuple[Array, Shape]:
        where = np.unravel_index(index, shape)
        turned = tuple(shape[axis] for axis in self.axes)
        return np.ravel_multi_index([where[axis] for axis in self.axes], turned), turned


@dataclass(frozen=True)
class Reshape:
    """Split or merge neighbouring axes; both shapes are written out, so that it can go back."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    def forward(self, array: Array) -> Array:
        return array.reshape(self.after)

    def inverse(self, array: Array) -> Array:
        return array.reshape(self.before)

    def move(self, index: Array, shape: Shape) -> tuple[Array, Shape]:
        return index, self.after


@dataclass(frozen=True)
class Take:
    """Reorder along the first axis: place ``i`` gets what stood at ``order[i]``."""

    order: tuple[int, ...]

    def forward(self, array: Array) -> Array:
        return array[list(self.order)]

    def inverse(self, array: Array) -> Array:
        return array[np.argsort(self.order)]

    def move(self, index: Array, shape: Shape) -> tuple[Array, Shape]:
        below = prod(shape[1:])
        return np.argsort(self.order)[index // below] * below + index % below, shape


@dataclass(frozen=True)
class Flip:
    """Reverse some axes, as `numpy.flip`."""

    axes: tuple[int, ...]

    def forward(self, array: Array) -> Array:
        return np.flip(array, self.axes)

    def inverse(self, array: Array) -> Array:
        return np.flip(array, self.axes)

    def move(self, index: Array, shape: Shape) -> tuple[Array, Shape]:
        where = list(np.unravel_index(index, shape))
        for axis in self.axes:
            where[axis] = shape[axis] - 1 - where[axis]
        return np.ravel_multi_index(where, shape), shape


@dataclass(frozen=True)
class Layout:
    """The way from a framework's layout to the canonical one, and back.

    >>> import numpy as np
    >>> hwio = conv_hwio(2)
    >>> hwio.to_canonical(np.zeros((5, 3, 16, 32))).shape  # (h, w, in, out)
    (32, 16, 5, 3)
    >>> hwio.from_canonical(np.zeros((32, 16, 5, 3))).shape
    (5, 3, 16, 32)
    """

    steps: tuple[Rearrangement, ...] = ()

    def to_canonical(self, native: Array) -> Array:
        """Return the array in canonical layout: a view where NumPy allows."""
        for step in self.steps:
            native = step.forward(native)
        return native

    def from_canonical(self, canonical: Array) -> Array:
        """Return the array in the framework's layout: the exact inverse."""
        for step in reversed(self.steps):
            canonical = step.inverse(canonical)
        return canonical

    def canonical_index(self, index: Array, shape: Shape) -> Array:
        """Return the canonical flat index of elements, given by their own flat index.

        shape: the framework's own.

        >>> DENSE_IN_OUT.canonical_index(np.array([0, 1, 2]), (2, 3))
        array([0, 2, 4])
        """
        for step in self.steps:
            index, shape = step.move(index, shape)
        return index


IDENTITY = Layout()
DENSE_IN_OUT = Layout((Transpose((1, 0)),))


def conv_hwio(spatial: int) -> Layout:
    """``(*spatial, in, out)``, as Keras keeps convolutions."""
    return Layout((Transpose((spatial + 1, spatial, *range(spatial))),))


def conv_hwoi(spatial: int) -> Layout:
    """``(*spatial, out, in)``, as Keras keeps transposed convolutions."""
    return Layout((Transpose((spatial, spatial + 1, *range(spatial))),))


def conv_transpose_iohw(shape: tuple[int, ...], groups: int = 1) -> Layout:
    """``(in, out/groups, *spatial)``, as PyTorch keeps transposed convolutions."""
    inputs, outputs, *spatial = shape
    rest = tuple(range(3, 3 + len(spatial)))
    grouped = (groups, inputs // groups, outputs, *spatial)
    turned = (groups, outputs, inputs // groups, *spatial)
    merged = (groups * outputs, inputs // groups, *spatial)
    return Layout((Reshape(shape, grouped), Transpose((0, 2, 1, *rest)), Reshape(turned, merged)))


def depthwise_hwcm(shape: tuple[int, ...]) -> Layout:
    """``(*spatial, channel, multiplier)``, as Keras keeps depthwise convolutions."""
    *spatial, channels, multiplier = shape
    merged = (*spatial, channels * multiplier)
    last = len(spatial)
    turned = (channels * multiplier, *spatial)
    single = (channels * multiplier, 1, *spatial)
    return Layout(
        (Reshape(shape, merged), Transpose((last, *range(last))), Reshape(turned, single))
    )


def rnn_in_gates(shape: tuple[int, ...], gates: int, order: tuple[int, ...] = ()) -> Layout:
    """``(in, gate*out)``, as Keras keeps recurrent kernels; `order` names its gates, if other."""
    inputs, outputs = shape
    split = Reshape(shape, (inputs, gates, outputs // gates))
    steps: tuple[Rearrangement, ...] = (split, Transpose((1, 2, 0)))
    return Layout((*steps, Take(order)) if order else steps)


def rnn_gates_in(shape: tuple[int, ...], gates: int) -> Layout:
    """``(gate*out, in)``, as PyTorch keeps recurrent weights."""
    outputs, inputs = shape
    return Layout((Reshape(shape, (gates, outputs // gates, inputs)),))


def matrix_in_out(shape: tuple[int, ...], inputs: int) -> Layout:
    """Merge the first `inputs` axes into ``in`` and the others into ``out``.

    >>> layout = matrix_in_out((64, 8, 16), 1)  # a Keras query kernel (model, head, key)
    >>> layout.to_canonical(np.zeros((64, 8, 16))).shape
    (128, 64)
    """
    merged = (prod(shape[:inputs]), prod(shape[inputs:]))
    return Layout((Reshape(shape, merged), Transpose((1, 0))))
