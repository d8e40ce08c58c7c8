"""Chance, the same everywhere."""

from __future__ import annotations

import hashlib
from typing import Annotated

import numpy as np
from pydantic import Field

from secateur.arrays.mixing import GOLDEN, mix
from secateur.components.criteria.criterion import Criterion
from secateur.layout import Array
from secateur.selection.context import Context


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
