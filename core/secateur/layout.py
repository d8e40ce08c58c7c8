"""The canonical layout, and the invertible steps that lead to it from a framework's own.

Canonical is ``(out, in, *spatial)`` for dense and convolution weights, ``(gate, out, in,
*spatial)`` for recurrent ones, ``(expert, out, in)`` for experts and ``(row, feature)`` for
embeddings.  A `Layout` is a short list of rearrangements; each has an exact inverse, so a mask
travels back the way its weight came.  They are views wherever NumPy allows: only `Take`, and a
`Reshape` that merges axes out of order, copy.
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
"""The positions of gates r, z, n in a Keras GRU, which stores z, r, h."""


class Rearrangement(Protocol):
    """One invertible rearrangement of an array's elements.

    Example:
        >>> turn: Rearrangement = Transpose((1, 0))
        >>> turn.forward(np.zeros((2, 3))).shape, turn.inverse(np.zeros((3, 2))).shape
        ((3, 2), (2, 3))

    """

    def forward(self, array: Array) -> Array:
        """Return the array one step closer to the canonical layout.

        Args:
            array: An array in the layout before this step.

        """
        ...

    def inverse(self, array: Array) -> Array:
        """Return the array one step back: the exact inverse of `forward`.

        Args:
            array: An array in the layout after this step.

        """
        ...

    def move(self, index: Array, shape: Shape) -> tuple[Array, Shape]:
        """Return the flat indices of some elements after this step, and the shape then.

        Args:
            index: Flat indices into an array of `shape`.
            shape: The shape before this step.

        """
        ...


@dataclass(frozen=True)
class Transpose:
    """Reorder the axes, as `numpy.transpose` does.

    Attributes:
        axes: For each axis afterwards, the axis before.

    Example:
        >>> Transpose((1, 0)).forward(np.zeros((2, 3))).shape
        (3, 2)

    """

    axes: tuple[int, ...]

    def forward(self, array: Array) -> Array:
        """Return the array with its axes reordered, a view.

        Args:
            array: An array with one axis for each entry of `axes`.

        """
        return array.transpose(self.axes)

    def inverse(self, array: Array) -> Array:
        """Return the array with its axes in their first order, a view.

        Args:
            array: What `forward` returned, or an array like it.

        """
        return array.transpose(np.argsort(self.axes).tolist())

    def move(self, index: Array, shape: Shape) -> tuple[Array, Shape]:
        """Return the flat indices afterwards, and the shape then.

        Args:
            index: Flat indices into an array of `shape`.
            shape: The shape before.

        """
        where = np.unravel_index(index, shape)
        turned = tuple(shape[axis] for axis in self.axes)
        return np.ravel_multi_index([where[axis] for axis in self.axes], turned), turned


@dataclass(frozen=True)
class Reshape:
    """Split or merge neighbouring axes.

    Attributes:
        before: The shape before.
        after: The shape afterwards, of as many elements; written out, so that it can go back.

    Example:
        >>> Reshape((6, 4), (3, 2, 4)).forward(np.zeros((6, 4))).shape
        (3, 2, 4)

    """

    before: tuple[int, ...]
    after: tuple[int, ...]

    def forward(self, array: Array) -> Array:
        """Return the array in the shape `after`.

        Args:
            array: An array of the shape `before`.

        """
        return array.reshape(self.after)

    def inverse(self, array: Array) -> Array:
        """Return the array in the shape `before`.

        Args:
            array: An array of the shape `after`.

        """
        return array.reshape(self.before)

    def move(self, index: Array, shape: Shape) -> tuple[Array, Shape]:
        """Return the flat indices, which stay the same, and the shape afterwards.

        Args:
            index: Flat indices into an array of `shape`.
            shape: The shape before.

        """
        return index, self.after


@dataclass(frozen=True)
class Take:
    """Reorder along the first axis.

    Attributes:
        order: For each index afterwards, the index before.

    Example:
        >>> Take((1, 0, 2)).forward(np.array(["z", "r", "h"])).tolist()
        ['r', 'z', 'h']

    """

    order: tuple[int, ...]

    def forward(self, array: Array) -> Array:
        """Return a copy with the first axis reordered.

        Args:
            array: An array whose first axis is as long as `order`.

        """
        return array[list(self.order)]

    def inverse(self, array: Array) -> Array:
        """Return a copy with the first axis in its first order.

        Args:
            array: What `forward` returned, or an array like it.

        """
        return array[np.argsort(self.order)]

    def move(self, index: Array, shape: Shape) -> tuple[Array, Shape]:
        """Return the flat indices afterwards, and the shape, which stays the same.

        Args:
            index: Flat indices into an array of `shape`.
            shape: The shape before.

        """
        below = prod(shape[1:])
        return np.argsort(self.order)[index // below] * below + index % below, shape


@dataclass(frozen=True)
class Flip:
    """Reverse some axes, as `numpy.flip` does.

    Attributes:
        axes: The axes to reverse.

    Example:
        >>> Flip((0,)).forward(np.array([1, 2, 3])).tolist()
        [3, 2, 1]

    """

    axes: tuple[int, ...]

    def forward(self, array: Array) -> Array:
        """Return the array with the axes reversed, a view.

        Args:
            array: Any array that has these axes.

        """
        return np.flip(array, self.axes)

    def inverse(self, array: Array) -> Array:
        """Return the array with the axes reversed again, a view.

        Args:
            array: What `forward` returned, or an array like it.

        """
        return np.flip(array, self.axes)

    def move(self, index: Array, shape: Shape) -> tuple[Array, Shape]:
        """Return the flat indices afterwards, and the shape, which stays the same.

        Args:
            index: Flat indices into an array of `shape`.
            shape: The shape before.

        """
        where = list(np.unravel_index(index, shape))
        for axis in self.axes:
            where[axis] = shape[axis] - 1 - where[axis]
        return np.ravel_multi_index(where, shape), shape


@dataclass(frozen=True)
class Layout:
    """The way from a framework's layout to the canonical one, and back.

    Attributes:
        steps: The rearrangements, in the order in which they lead to the canonical layout.

    Example:
        >>> hwio = conv_hwio(2)
        >>> hwio.to_canonical(np.zeros((5, 3, 16, 32))).shape  # from (h, w, in, out)
        (32, 16, 5, 3)
        >>> hwio.from_canonical(np.zeros((32, 16, 5, 3))).shape
        (5, 3, 16, 32)

    """

    steps: tuple[Rearrangement, ...] = ()

    def to_canonical(self, native: Array) -> Array:
        """Return the array in canonical layout: a view where NumPy allows.

        Args:
            native: An array in the framework's layout.

        """
        for step in self.steps:
            native = step.forward(native)
        return native

    def from_canonical(self, canonical: Array) -> Array:
        """Return the array in the framework's layout: the exact inverse.

        Args:
            canonical: An array in canonical layout.

        """
        for step in reversed(self.steps):
            canonical = step.inverse(canonical)
        return canonical

    def canonical_index(self, index: Array, shape: Shape) -> Array:
        """Return the canonical flat index of some elements.

        Args:
            index: Their flat indices in the framework's layout, int64.
            shape: The shape in the framework's layout.

        Example:
            >>> DENSE_IN_OUT.canonical_index(np.array([0, 1, 2]), (2, 3))
            array([0, 2, 4])

        """
        for step in self.steps:
            index, shape = step.move(index, shape)
        return index


IDENTITY = Layout()
"""The layout of a weight that is canonical already."""
DENSE_IN_OUT = Layout((Transpose((1, 0)),))
"""``(in, out)``, as Keras and Flax keep dense kernels."""


def conv_hwio(spatial: int) -> Layout:
    """Return the layout ``(*spatial, in, out)``, as Keras keeps convolutions.

    Args:
        spatial: The number of spatial axes.

    Example:
        >>> conv_hwio(1).to_canonical(np.zeros((3, 8, 16))).shape
        (16, 8, 3)

    """
    return Layout((Transpose((spatial + 1, spatial, *range(spatial))),))


def conv_hwoi(spatial: int) -> Layout:
    """Return the layout ``(*spatial, out, in)``, as Keras keeps transposed convolutions.

    Args:
        spatial: The number of spatial axes.

    Example:
        >>> conv_hwoi(1).to_canonical(np.zeros((3, 16, 8))).shape
        (16, 8, 3)

    """
    return Layout((Transpose((spatial, spatial + 1, *range(spatial))),))


def conv_transpose_iohw(shape: tuple[int, ...], groups: int = 1) -> Layout:
    """Return the layout ``(in, out/groups, *spatial)`` of PyTorch's transposed convolutions.

    Args:
        shape: The weight's own shape.
        groups: The groups of channels of the convolution.

    Example:
        >>> conv_transpose_iohw((8, 3, 5), groups=2).to_canonical(np.zeros((8, 3, 5))).shape
        (6, 4, 5)

    """
    inputs, outputs, *spatial = shape
    rest = tuple(range(3, 3 + len(spatial)))
    grouped = (groups, inputs // groups, outputs, *spatial)
    turned = (groups, outputs, inputs // groups, *spatial)
    merged = (groups * outputs, inputs // groups, *spatial)
    return Layout((Reshape(shape, grouped), Transpose((0, 2, 1, *rest)), Reshape(turned, merged)))


def depthwise_hwcm(shape: tuple[int, ...]) -> Layout:
    """Return the layout ``(*spatial, channel, multiplier)`` of Keras's depthwise convolutions.

    Args:
        shape: The weight's own shape.

    Example:
        >>> depthwise_hwcm((3, 3, 8, 2)).to_canonical(np.zeros((3, 3, 8, 2))).shape
        (16, 1, 3, 3)

    """
    *spatial, channels, multiplier = shape
    merged = (*spatial, channels * multiplier)
    last = len(spatial)
    turned = (channels * multiplier, *spatial)
    single = (channels * multiplier, 1, *spatial)
    return Layout(
        (Reshape(shape, merged), Transpose((last, *range(last))), Reshape(turned, single))
    )


def rnn_in_gates(shape: tuple[int, ...], gates: int, order: tuple[int, ...] = ()) -> Layout:
    """Return the layout ``(in, gate*out)``, as Keras keeps recurrent kernels.

    Args:
        shape: The weight's own shape.
        gates: The number of gates.
        order: For each canonical gate its position in the weight, where the order differs.

    Example:
        >>> rnn_in_gates((5, 18), 3, KERAS_GRU_GATES).to_canonical(np.zeros((5, 18))).shape
        (3, 6, 5)

    """
    inputs, outputs = shape
    split = Reshape(shape, (inputs, gates, outputs // gates))
    steps: tuple[Rearrangement, ...] = (split, Transpose((1, 2, 0)))
    return Layout((*steps, Take(order)) if order else steps)


def rnn_gates_in(shape: tuple[int, ...], gates: int) -> Layout:
    """Return the layout ``(gate*out, in)``, as PyTorch keeps recurrent weights.

    Args:
        shape: The weight's own shape.
        gates: The number of gates.

    Example:
        >>> rnn_gates_in((24, 5), 4).to_canonical(np.zeros((24, 5))).shape
        (4, 6, 5)

    """
    outputs, inputs = shape
    return Layout((Reshape(shape, (gates, outputs // gates, inputs)),))


def matrix_in_out(shape: tuple[int, ...], inputs: int) -> Layout:
    """Return the layout that merges the first axes into ``in`` and the others into ``out``.

    Args:
        shape: The weight's own shape.
        inputs: How many axes, from the first, are merged into ``in``.

    Example:
        >>> layout = matrix_in_out((64, 8, 16), 1)  # a Keras query kernel (model, head, key)
        >>> layout.to_canonical(np.zeros((64, 8, 16))).shape
        (128, 64)

    """
    merged = (prod(shape[:inputs]), prod(shape[inputs:]))
    return Layout((Reshape(shape, merged), Transpose((1, 0))))
