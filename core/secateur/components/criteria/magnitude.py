"""The magnitude: what most networks are pruned by."""

from __future__ import annotations

import numpy as np

from secateur.arrays.sortable_bits import infinity, magnitude_keys
from secateur.components.criteria.criterion import Criterion
from secateur.layout import Array
from secateur.selection.context import Context


class Magnitude(Criterion):
    """Keep large weights: ``score = |w|``, compared in the weight's own dtype.

    Example:
        >>> Magnitude().score(np.array([-2.0, 1.0]), None).tolist()
        [2.0, 1.0]

    """

    kind = "magnitude"
    elementwise = True

    def score(self, weight: Array, context: Context) -> Array:
        return np.abs(weight)

    def keys(self, weight: Array, context: Context) -> Array:
        """Return the bits without the sign, which order like the magnitudes.

        Args:
            weight: The values, as in `score`.
            context: What is known besides the values.

        """
        return magnitude_keys(weight)

    def finite(self, weight: Array, keys: Array) -> bool:
        """Return whether every value is finite, which the largest key shows.

        Args:
            weight: The values.
            keys: What `keys` returned for them.

        """
        return int(keys.max(initial=0)) < infinity(weight.dtype)
