"""Layouts: the way from a framework's own order of axes to the canonical one, and back."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from secateur.layout.rearrangements import (
    Array,
    Rearrangement,
    Reshape,
    Shape,
    Take,
    Transpose,
)

KERAS_GRU_GATES = (1, 0, 2)
"""The positions of gates r, z, n in a Keras GRU, which stores z, r, h."""


@dataclass(frozen=True)
class Layout:
    """The way from a framework's layout to the canonical one, and back.

    Attributes:
        steps: The rearrangements, in the order in which they lead to the canonical layout.

    Example:
        >>> import numpy as np
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
            >>> import numpy as np
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
        >>> import numpy as np
        >>> conv_hwio(1).to_canonical(np.zeros((3, 8, 16))).shape
        (16, 8, 3)

    """
    return Layout((Transpose((spatial + 1, spatial, *range(spatial))),))


def conv_hwoi(spatial: int) -> Layout:
    """Return the layout ``(*spatial, out, in)``, as Keras keeps transposed convolutions.

    Args:
        spatial: The number of spatial axes.

    Example:
        >>> import numpy as np
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
        >>> import numpy as np
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
        >>> import numpy as np
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
        >>> import numpy as np
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
        >>> import numpy as np
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
        >>> import numpy as np
        >>> layout = matrix_in_out((64, 8, 16), 1)  # a Keras query kernel (model, head, key)
        >>> layout.to_canonical(np.zeros((64, 8, 16))).shape
        (128, 64)

    """
    merged = (prod(shape[:inputs]), prod(shape[inputs:]))
    return Layout((Reshape(shape, merged), Transpose((1, 0))))
