"""A mixer of 64-bit integers: counters become numbers that look random."""

from __future__ import annotations

import numpy as np

from secateur.layout import Array

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""The step between the counters of SplitMix64."""


def mix(counters: Array) -> Array:
    """Return the SplitMix64 finalizer of each counter (Steele, Lea and Flood 2014), in place.

    >>> mix(np.array([1], np.uint64)).tolist()
    [6238072747940578789]
    """
    counters ^= counters >> np.uint64(30)
    counters *= np.uint64(0xBF58476D1CE4E5B9)
    counters ^= counters >> np.uint64(27)
    counters *= np.uint64(0x94D049BB133111EB)
    counters ^= counters >> np.uint64(31)
    return counters
