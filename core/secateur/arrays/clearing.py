"""Prune an array, in place or in a copy."""

from __future__ import annotations

from math import prod

import numpy as np

from secateur.arrays import sizes
from secateur.arrays.chunks import map_threads, pieces
from secateur.arrays.memory import aligned
from secateur.arrays.positions import memory_axes
from secateur.layout import Array


def clear_pruned(values: Array, mask: Array, *, out: Array | None = None) -> None:
    """Clear every bit of what a mask prunes; the rest keeps its bits.

    The bits are multiplied as integers, by 1 or 0: a selection, which leaves no -0.0 or NaN
    behind, in a fifth of the time of ``values[~mask] = 0``.

    Args:
        values: Floats, or their bits as integers, in any memory layout.
        mask: Bools of their shape; True = kept.
        out: Where the result goes, an array like `values`; by default in place.

    Example:
        >>> weight = np.array([[-1.0, np.nan, 2.0]])
        >>> clear_pruned(weight, np.array([[False, False, True]]))
        >>> weight
        array([[0., 0., 2.]])

    """
    axes = memory_axes(values)
    bits, kept = _bits(values).transpose(axes), mask.transpose(axes)
    cleared = bits if out is None else _bits(out).transpose(axes)

    def clear(rows: tuple[int, int]) -> None:
        own = slice(*rows)
        np.multiply(bits[own], kept[own].astype(bits.dtype), out=cleared[own])

    row = max(1, prod(bits.shape[1:]))
    map_threads(clear, list(pieces(0, len(bits), max(1, sizes.COMPARED // row))))


def pruned_copy(values: Array, mask: Array) -> Array:
    """Return the values with +0.0 where a mask prunes, in memory that frameworks take over.

    Args:
        values: Floats.
        mask: Bools of their shape; True = kept.

    Example:
        >>> pruned_copy(np.array([-1.0, 2.0]), np.array([False, True]))
        array([0., 2.])

    """
    copy = aligned(values.size, values.dtype).reshape(values.shape)
    clear_pruned(values, mask, out=copy)
    return copy


def _bits(values: Array) -> Array:
    return values.view(f"u{values.itemsize}")
