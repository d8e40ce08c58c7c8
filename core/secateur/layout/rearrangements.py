"""The invertible steps of which a layout is made: transpose, reshape, take and flip."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


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
