"""How a mask of any rank is laid flat as a picture: rows of outputs, columns of inputs."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from secateur.adapter import WeightSpec
from secateur.kinds import kind_named
from secateur.layout import Array

MOST_BITS = 2**22
"""The most elements of one weight that are recorded; of a larger one, a sample of its rows."""


@dataclass(frozen=True)
class Plane:
    """The rows and columns of a weight, and which of them are recorded.

    Attributes:
        rows: The number of rows: outputs, of each gate or expert one after another.
        columns: The number of columns: inputs, each with its spatial positions.
        shown_rows: How many rows are recorded, evenly spaced.
        shown_columns: How many columns are recorded, the first ones.

    """

    rows: int
    columns: int
    shown_rows: int
    shown_columns: int

    @classmethod
    def of(cls, spec: WeightSpec, size: int) -> Plane:
        """Return the plane of a weight; this process holds `size` of its elements.

        >>> Plane.of(WeightSpec("c", "conv", "kernel", (8, 3, 5, 5), "float32", "c"), 600)
        Plane(rows=8, columns=75, shown_rows=8, shown_columns=75)
        """
        axis = kind_named(spec.kind).out_axis + 1
        split = axis if axis < len(spec.shape) else 1
        columns = prod(spec.shape[split:])
        if not columns or size % columns:
            columns = max(size, 1)  # a part of a sharded weight that ends within a row
        rows = size // columns
        shown_columns = min(columns, MOST_BITS)
        return cls(rows, columns, min(rows, max(1, MOST_BITS // shown_columns)), shown_columns)

    @property
    def size(self) -> int:
        """The number of elements that are recorded."""
        return self.shown_rows * self.shown_columns

    @property
    def row_indices(self) -> Array:
        """The indices of the rows that are recorded.

        >>> Plane(10, 4, 5, 4).row_indices.tolist()
        [0, 2, 4, 6, 8]
        """
        return np.arange(self.shown_rows) * self.rows // max(self.shown_rows, 1)

    def sample(self, values: Array) -> Array:
        """Return the recorded part of an array of the weight's values."""
        flat = values.reshape(self.rows, self.columns)
        if self.shown_rows < self.rows:
            flat = flat[self.row_indices]
        return flat[:, : self.shown_columns]
