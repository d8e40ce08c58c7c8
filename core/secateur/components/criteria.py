"""Criteria: a score per weight, higher = keep.

An *elementwise* criterion scores each value by itself, so that it is called piece by piece
and all scores are never in memory at once; any other criterion is called once with the whole
array in canonical layout.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from secateur.arrays.mixing import GOLDEN, mix
from secateur.arrays.sortable_bits import infinity, magnitude_keys, score_keys
from secateur.components.component import Component
from secateur.layout import Array
from secateur.selection.context import Context
from secateur.selection.groups import scores_problem


class Criterion(Component):
    """The base of all criteria; a subclass writes `score`.  Its fields are its keys in a policy.

    Attributes:
        elementwise: Whether the score of a value depends on that value alone.
        regrows: Whether weights that are pruned already may come back.

    Example:
        >>> class Centered(Criterion):
        ...     kind = "centered"
        ...
        ...     def score(self, weight, context):
        ...         return np.abs(weight - weight.mean(dtype=np.float64))
        >>> Centered().score(np.array([1.0, 2.0, 6.0]), None).tolist()
        [2.0, 1.0, 3.0]

    """

    family: ClassVar[str] = "criterion"
    hook: ClassVar[str] = "secateur_criteria"
    elementwise: ClassVar[bool] = False
    regrows: ClassVar[bool] = False

    @abstractmethod
    def score(self, weight: Array, context: Context) -> Array:
        """Return a float score for each value, in the same shape; a score of NaN is an error.

        Args:
            weight: The values: the whole weight in canonical layout or, with `elementwise`, a
                piece of it in any shape.
            context: The weight's name, the step, and the index and gradient of each value.

        """

    def keys(self, weight: Array, context: Context) -> Array:
        """Return unsigned integers that order like the scores.

        Args:
            weight: The values, as in `score`.
            context: What is known besides the values.

        Raises:
            ValueError: The scores are of another shape, or one is NaN.

        """
        scores = np.asarray(self.score(weight, context))
        if problem := scores_problem(scores, [weight.shape]):
            raise ValueError(problem)
        return score_keys(scores)

    def finite(self, weight: Array, keys: Array) -> bool:
        """Return whether every value is finite.

        Args:
            weight: The values.
            keys: What `keys` returned for them.

        """
        return bool(np.isfinite(weight).all())


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
        """Return the bits without the sign, which order like the magnitudes."""
        return magnitude_keys(weight)

    def finite(self, weight: Array, keys: Array) -> bool:
        """Return whether every value is finite, which the largest key shows."""
        return int(keys.max(initial=0)) < infinity(weight.dtype)


class Random(Criterion):
    """Keep weights by chance, the same in every framework, on every rank, after a resume.

    The score of the value with canonical index ``i`` is the ``i``-th number of a
    counter-based generator (SplitMix64) keyed by the SHA-256 of (seed, weight name, step), so
    that the score of any value can be computed without those before it.

    Attributes:
        seed: Another seed keeps other weights.

    Example:
        >>> context = Context("fc:kernel", 0, lambda: np.arange(3), lambda: None)
        >>> Random(seed=1).score(np.zeros(3), context).round(3).tolist()
        [0.326, 0.983, 0.568]

    """

    kind = "random"
    elementwise = True
    seed: Annotated[int, Field(ge=0)] = 0

    def score(self, weight: Array, context: Context) -> Array:
        key = hashlib.sha256(f"{self.seed}\0{context.name}\0{context.step}".encode()).digest()
        start = np.frombuffer(key[:8], "<u8")[0]
        bits = mix(context.index.astype(np.uint64) * GOLDEN + start)
        return (bits >> np.uint64(11)) * 2.0**-53
