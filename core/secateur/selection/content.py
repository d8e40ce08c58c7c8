"""A digest of a weight's content, by which weights are ordered where nothing else decides.

``digest = sum(mix(mix(i * golden + key) ^ bits(i))) mod 2**64`` over the canonical indices ``i``
below a length, where ``key`` is the start of the SHA-256 of dtype and canonical shape.  A sum has
no order, so it is the same for every memory layout and number of threads, and adds up over the
workers that hold shards.
"""

from __future__ import annotations

import hashlib

import numpy as np

from secateur.arrays.mixing import GOLDEN, mix
from secateur.layout import Array
from secateur.workers import Workers

HEAD = 4096
"""Elements whose digest is compared first: all elements only where these are equal."""
_HALF = 32


def content_key(dtype: str, shape: tuple[int, ...]) -> np.uint64:
    """Return what the dtype and the shape add to a digest.

    >>> int(content_key("float32", (2, 3))) == int(content_key("float32", (3, 2)))
    False
    """
    digest = hashlib.sha256(f"{dtype} {tuple(map(int, shape))}".encode()).digest()
    return np.uint64(int.from_bytes(digest[:8], "little"))


def mixed_sum(values: Array, index: Array, key: np.uint64) -> int:
    """Return the part of a digest that some values have at their canonical indices."""
    counters = index.astype(np.uint64)
    counters *= GOLDEN
    counters += key
    counters = mix(counters)
    counters ^= values.view(f"u{values.dtype.itemsize}").astype(np.uint64)
    return int(mix(counters).sum(dtype=np.uint64))


def total_mod_64(number: int, workers: Workers) -> int:
    """Return the sum over all workers modulo 2**64, in halves that cannot overflow."""
    halves = np.array([number >> _HALF, number & ((1 << _HALF) - 1)], np.int64)
    high, low = workers.total(halves)
    return ((int(high) << _HALF) + int(low)) % (1 << 64)
