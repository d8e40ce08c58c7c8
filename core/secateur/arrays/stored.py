"""An array that lies in a file, and is read where it is used, piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from secateur.arrays import sizes
from secateur.arrays.chunks import pieces
from secateur.arrays.positions import MemoryOrder, Positions, Region
from secateur.layout import Array

ReadFlat = Callable[[int, int], Array]
"""Returns the elements from one position in the file to before another."""
_GAP = 1 << 12
"""Positions that are closer than this are read together."""
_LONG = 64
"""Runs of neighbours that are so long on average are read one by one, with nothing in between."""
_WASTE = 4
"""How many times as much as is wanted may be read, where that saves reads."""


class StoredArray:
    """An array of canonical shape that lies in a file without gaps, its axes in some order.

    Args:
        read: Reads elements by position; several threads may call it.
        dtype: What it returns.
        shape: The canonical shape.
        axes: The canonical axes from the slowest to the fastest in the file.

    Example:
        >>> values = np.arange(6)  # in the file: (in, out) = (2, 3)
        >>> stored = StoredArray(lambda i, j: values[i:j], values.dtype, (3, 2), (1, 0))
        >>> stored[1:3, 0:2].tolist()
        [[1, 4], [2, 5]]

    """

    def __init__(
        self, read: ReadFlat, dtype: np.dtype[Any], shape: tuple[int, ...], axes: tuple[int, ...]
    ) -> None:
        self.dtype, self.shape, self.axes = dtype, shape, axes
        self.ndim, self.size = len(shape), prod(shape)
        self._read, self._order = read, MemoryOrder(shape, axes)

    def __getitem__(self, region: Region) -> Array:
        """Return the values in a canonical region."""
        along = [region[axis].indices(self.shape[axis]) for axis in self.axes]
        part = self._in_file([(start, stop) for start, stop, _ in along], 0)
        return part.transpose(np.argsort(self.axes))

    def whole(self) -> Array:
        """Return all of it, canonical."""
        return self._order.canonical(self._read(0, self.size))

    def at(self, positions: Positions) -> Array:
        """Return the values at some positions in the file."""
        if isinstance(positions, slice):
            return self._read(*positions.indices(self.size)[:2])
        if not len(positions):
            return np.empty(0, self.dtype)
        order = np.argsort(positions, kind="stable")
        ordered = positions[order]
        found = np.empty(len(positions), self.dtype)
        found[order] = self._at_ordered(ordered)
        return found

    def _at_ordered(self, positions: Array) -> Array:
        """Return the values at ascending positions."""
        found = np.empty(len(positions), self.dtype)
        steps = np.diff(positions)
        runs = _split(steps != 1)
        if len(positions) >= _LONG * len(runs):
            for begin, end in runs:
                start = int(positions[begin])
                found[begin:end] = self._read(start, start + end - begin)
            return found
        for begin, end in _split(steps > _GAP):
            first, last = int(positions[begin]), int(positions[end - 1]) + 1
            for start, stop in pieces(first, last, sizes.CHUNK):
                some = slice(*(begin + np.searchsorted(positions[begin:end], [start, stop])))
                found[some] = self._read(start, stop)[positions[some] - start]
        return found

    def _in_file(self, region: list[tuple[int, int]], offset: int) -> Array:
        """Return a region, given and returned with the axes in the order of the file."""
        lengths = [stop - start for start, stop in region]
        whole = self._order.memory_shape[len(self._order.memory_shape) - len(region) :]
        steps = [prod(whole[axis + 1 :]) for axis in range(len(whole))]
        if not prod(lengths):
            return np.empty(lengths, self.dtype)
        first = sum(start * step for (start, _), step in zip(region, steps, strict=True))
        last = sum((stop - 1) * step for (_, stop), step in zip(region, steps, strict=True)) + 1
        if last - first <= _WASTE * prod(lengths) or len(region) <= 1:
            flat = self._read(offset + first, offset + last)
            strides = [step * flat.itemsize for step in steps]
            return np.lib.stride_tricks.as_strided(flat, lengths, strides, writeable=False)
        start, stop = region[0]
        parts = [self._in_file(region[1:], offset + at * steps[0]) for at in range(start, stop)]
        return np.stack(parts)


def _split(apart: Array) -> list[tuple[int, int]]:
    """Return the ranges of a sequence, split where two neighbours are apart.

    >>> _split(np.array([False, True]))
    [(0, 2), (2, 3)]
    """
    return list(pairwise([0, *(np.flatnonzero(apart) + 1).tolist(), len(apart) + 1]))


class FileOrder:
    """A stored array read by position: what `MemoryArray` is for one in memory."""

    def __init__(self, array: StoredArray) -> None:
        self.array = array

    def __getitem__(self, positions: Positions) -> Array:
        return self.array.at(positions)
