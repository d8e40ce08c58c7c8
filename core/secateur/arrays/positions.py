"""Positions: flat indices of an array in the order in which its elements lie in memory.

Selection does not care in which order it meets the scores, but processors do: a Keras
kernel reaches us as a transposed view.  So scores are read, and masks are written, in
memory order; only ties, and sums, need the canonical one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from secateur.arrays import sizes
from secateur.arrays.chunks import pieces
from secateur.layout import Array

Positions = slice | Array
"""Flat positions in memory order: a range, or an array of them."""
Region = tuple[slice, ...]
"""A range of canonical indices along each axis."""
NUMBERS_AT_ONCE = 4
"""Numbers that one pass looks for: more would need more memory for positions."""


def memory_axes(array: Array) -> tuple[int, ...]:
    """Return the axes from the slowest to the fastest in memory.

    >>> memory_axes(np.zeros((3, 4)).T)
    (1, 0)
    """
    return tuple(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))


def regions(shape: tuple[int, ...], start: int, stop: int) -> Iterator[Region]:
    """Split the flat range of a C-ordered array into regions, in order.

    >>> list(regions((3, 4), 2, 8))
    [(slice(0, 1, None), slice(2, 4, None)), (slice(1, 2, None), slice(0, 4, None))]
    """
    if start >= stop:
        return
    if len(shape) <= 1:
        yield (slice(start, stop),) * len(shape)
        return
    rest = shape[1:]
    row = prod(rest)
    first, skipped = divmod(start, row)
    last, rest_of_last = divmod(stop, row)
    if first == last:
        yield from (
            (slice(first, first + 1), *region) for region in regions(rest, skipped, rest_of_last)
        )
        return
    if skipped:
        yield from ((slice(first, first + 1), *region) for region in regions(rest, skipped, row))
        first += 1
    if first < last:
        yield (slice(first, last), *(slice(0, length) for length in rest))
    yield from ((slice(last, last + 1), *region) for region in regions(rest, 0, rest_of_last))


def where_among(values: Array, first: int, last: int) -> Array:
    """Return where a flat array holds values from `first` to `last`, int64.

    >>> where_among(np.array([3, 1, 4, 0]), 1, 3)
    array([0, 1])
    """
    found = [np.empty(0, np.int64)]
    for start, stop in pieces(0, len(values), sizes.CHUNK):
        piece = values[start:stop]
        found.append(np.flatnonzero((piece >= first) & (piece <= last)) + start)
    return np.concatenate(found)


def by_number(numbers: Array, count: int) -> Iterator[Array]:
    """Yield, for each number below `count`, the positions at which a flat uint8 array holds it.

    >>> [positions.tolist() for positions in by_number(np.array([2, 0, 2], np.uint8), 3)]
    [[1], [], [0, 2]]
    """
    for first in range(0, count, NUMBERS_AT_ONCE):
        some = range(first, min(first + NUMBERS_AT_ONCE, count))
        positions = where_among(numbers, some[0], some[-1])
        positions = positions[np.argsort(numbers[positions], kind="stable")]
        ends = np.searchsorted(numbers[positions], some, side="right")
        yield from np.split(positions, ends)[:-1]


class MemoryOrder:
    """Converts between canonical indices and positions in memory.

    Args:
        shape: The canonical shape of the array.
        axes: Its axes from the slowest to the fastest in memory.

    Attributes:
        is_canonical: Whether positions are canonical indices.

    """

    def __init__(self, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
        self.shape, self.axes = shape, axes
        self.memory_shape = tuple(shape[axis] for axis in axes)
        self.size = prod(shape)
        self.is_canonical = list(axes) == sorted(axes)
        self._back = tuple(int(axis) for axis in np.argsort(axes))

    def whole_rows(self, length: int) -> int:
        """Return about `length` positions, a whole number of rows in memory where rows fit."""
        row = self.memory_shape[-1] if self.memory_shape else 1
        return length // row * row if 0 < row <= length else max(length, 1)

    def canonical(self, flat: Array) -> Array:
        """Return one value per position as an array of canonical shape, a view."""
        return flat.reshape(self.memory_shape).transpose(self._back)

    def views(self, flat: Array, start: int) -> Iterator[tuple[Region, Array]]:
        """Yield the values of the positions from `start` on by canonical region, as views."""
        done = 0
        for region in regions(self.memory_shape, start, start + len(flat)):
            shape = [along.stop - along.start for along in region]
            part = flat[done : done + prod(shape)].reshape(shape).transpose(self._back)
            done += prod(shape)
            yield tuple(region[axis] for axis in self._back), part

    def regions(self, start: int, stop: int) -> Iterator[Region]:
        """Split a range of positions into regions along the canonical axes, in memory order."""
        for region in regions(self.memory_shape, start, stop):
            yield tuple(region[axis] for axis in self._back)

    def coordinates(self, positions: Array) -> list[Array]:
        """Return the canonical coordinates of some positions, one array per axis."""
        found: list[Array] = [positions] * len(self.shape)
        for axis in reversed(self.axes):
            length = self.shape[axis]
            above = positions // length  # much faster than divmod, or unravel_index
            found[axis] = positions - above * length
            positions = above
        return found

    def positions(self, coordinates: Sequence[Array]) -> Array:
        """Return the positions of some canonical coordinates: the inverse of `coordinates`."""
        found, step = np.zeros_like(coordinates[0]), 1
        for axis in reversed(self.axes):
            found += coordinates[axis] * step
            step *= self.shape[axis]
        return found

    def index(self, positions: Array) -> Array:
        """Return the canonical index of each position, int64."""
        if self.is_canonical:
            return positions.astype(np.int64, copy=False)
        index = np.zeros(len(positions), np.int64)
        step = 1
        coordinates = self.coordinates(positions)
        for axis in reversed(range(len(self.shape))):
            index += coordinates[axis] * step
            step *= self.shape[axis]
        return index

    def positions_in(self, region: Region) -> Array:
        """Return the position of each element of a canonical region, in the region's shape."""
        positions = np.zeros((1,) * len(region), np.int64)
        step = 1
        for axis in reversed(self.axes):
            shape = [1] * len(region)
            shape[axis] = -1
            positions = positions + (
                np.arange(region[axis].start, region[axis].stop) * step
            ).reshape(shape)
            step *= self.shape[axis]
        return positions


class MemoryArray:
    """An array read by position: without a copy where it lies in memory without gaps."""

    def __init__(self, array: Array, order: MemoryOrder) -> None:
        self.array, self._order = array, order
        memory = array.transpose(order.axes)
        self._flat = memory.reshape(-1) if memory.flags.c_contiguous else None

    def __getitem__(self, positions: Positions) -> Array:
        if self._flat is not None:
            return self._flat[positions]
        if not isinstance(positions, slice):
            return self.array[tuple(self._order.coordinates(positions))]
        found = [
            self.array[region].transpose(self._order.axes).reshape(-1)
            for region in self._order.regions(positions.start, positions.stop)
        ]
        if len(found) == 1:
            return found[0]
        return np.concatenate([*found, np.empty(0, self.array.dtype)])
