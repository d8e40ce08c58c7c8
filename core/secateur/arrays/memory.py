"""Where arrays lie in memory: at which addresses, and whether two share any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from secateur.layout import Array

_WORK = 10_000
"""How much work NumPy may spend to find whether overlapping arrays share an element."""
ALIGNMENT = 64
"""Frameworks take over memory without a copy from such addresses on, and files are copied to
others at a fifth of the speed."""


def aligned(size: int, dtype: np.dtype[Any]) -> Array:
    """Return a flat array of any content whose address is a multiple of `ALIGNMENT`.

    >>> aligned(3, np.dtype(np.float32)).ctypes.data % 64
    0
    """
    length = size * dtype.itemsize
    memory = np.empty(length + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + length].view(dtype)


def byte_bounds(array: Array) -> tuple[int, int]:
    """Return the addresses of the first byte of an array, and of the one after its last."""
    return np.lib.array_utils.byte_bounds(array)


def share_memory(first: Array, second: Array) -> bool:
    """Return whether two arrays share memory; where that is hard to tell, whether they may.

    >>> buffer = np.zeros(8)
    >>> share_memory(buffer[:5], buffer[4:]), share_memory(buffer[::2], buffer[1::2])
    (True, False)
    """
    try:
        return np.shares_memory(first, second, max_work=_WORK)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def overlaps(arrays: Sequence[Array]) -> Iterator[tuple[int, int]]:
    """Yield the indices of each two arrays that share memory.

    >>> buffer = np.zeros((4, 4))
    >>> list(overlaps([buffer[:2], np.zeros(3), buffer[1:], buffer[2:, :]]))
    [(0, 2), (2, 3)]
    """
    bounds = [byte_bounds(array) for array in arrays]
    before: list[int] = []
    for index in sorted(range(len(arrays)), key=bounds.__getitem__):
        before = [each for each in before if bounds[each][1] > bounds[index][0]]
        for each in before:
            if share_memory(arrays[each], arrays[index]):
                yield each, index
        before.append(index)
