"""The weights of a checkpoint, read where they are used."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from secateur.adapter import Checkpoint, ReadElements, Weight, WeightSpec
from secateur.arrays import sizes
from secateur.arrays.positions import memory_axes
from secateur.arrays.stored import StoredArray
from secateur.checkpoints.bind import CheckpointBinding
from secateur.checkpoints.parts import Part
from secateur.checkpoints.raw import comparable, dtype_of
from secateur.layout import Array, Layout
from secateur.masks.one_by_one import Values


class StoredWeight(Weight):
    """A weight of a checkpoint: a tensor, or some rows of one.

    Args:
        spec: What is known of it.
        part: Where in the file it lies.
        checkpoint: The checkpoint.

    Attributes:
        dtype: The dtype of its values.
        stored_dtype: The one that they have in the file.
        itemsize: The bytes of each in the file.
        here: Whether this process prunes it.
        start: Where in its tensor it begins.

    """

    def __init__(self, spec: WeightSpec, part: Part, checkpoint: Checkpoint) -> None:
        self.spec, self._part, self._checkpoint = spec, part, checkpoint
        self.here = True
        tensor = checkpoint.tensors[part.tensor]
        stored = dtype_of(tensor, checkpoint.path)
        self.stored_dtype, self.itemsize = stored, stored.itemsize
        self.dtype = comparable(np.empty(0, stored)).dtype
        self._shape = part.shape_in(tensor)
        self._axes = axes_in_file(part.layout, self._shape)
        self.start = (part.rows[0] if part.rows else 0) * prod(tensor.shape[1:])

    @property
    def tensor(self) -> str:
        """The name of the tensor that holds it."""
        return self._part.tensor

    @property
    def stop(self) -> int:
        """Where in its tensor it ends."""
        return self.start + self.spec.size

    def read(self) -> Array:
        return self._canonical(self.opened())

    def values(self, read: ReadElements | None = None) -> Values:
        """Return its values: where they lie in the file, or read.

        Args:
            read: Reads its tensor; None opens it.

        """
        read = read or self.opened()
        if self._axes is None:
            return self._canonical(read)
        start = self.start
        return StoredArray(
            lambda first, last: comparable(read(start + first, start + last)),
            self.dtype,
            self.spec.shape,
            self._axes,
        )

    def opened(self) -> ReadElements:
        """Return what reads its tensor."""
        return self._checkpoint.elements(self.tensor)

    def near(self, read: ReadElements) -> Values:
        """Return its values, in memory where they are few."""
        is_small = self.spec.size * self.itemsize <= sizes.WHOLE
        return self._canonical(read) if is_small else self.values(read)

    def stored(self, mask: Array) -> Array:
        """Return a canonical mask as the weight lies in the file, flat."""
        return self._part.layout.from_canonical(mask).reshape(-1)

    def _canonical(self, read: ReadElements) -> Array:
        values = comparable(read(self.start, self.stop)).reshape(self._shape)
        return self._part.layout.to_canonical(values)


def stored_weights(model: CheckpointBinding, checkpoint: Checkpoint) -> dict[str, StoredWeight]:
    """Return the weights of a checkpoint by name, in the order of the binding."""
    parts: Mapping[str, Part] = model.parts
    specs = [weight.spec for weight in model.binding.weights]
    return {spec.name: StoredWeight(spec, parts[spec.name], checkpoint) for spec in specs}


def axes_in_file(layout: Layout, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the canonical axes from the slowest to the fastest in the file.

    >>> from secateur.layout import DENSE_IN_OUT
    >>> axes_in_file(DENSE_IN_OUT, (3, 2))
    (1, 0)

    Args:
        layout: The way from the file to the canonical layout.
        shape: The shape in the file.

    Returns:
        The axes; None where the canonical array is no view of what lies in the file.

    """
    blank = np.zeros(shape, np.uint8)  # of which no page is touched, nor takes memory
    view = layout.to_canonical(blank)
    if not view.size:
        return tuple(range(view.ndim))
    axes = memory_axes(view)
    is_view = np.may_share_memory(view, blank) and view.transpose(axes).flags.c_contiguous
    return axes if is_view else None
