"""Masks as images."""

from __future__ import annotations

import io
from math import prod

import numpy as np
from PIL import Image

from secateur import kind_named
from secateur.layout import Array

_LONGEST = 1024
"""The most pixels along a side; a larger mask is averaged over areas."""
_SHORTEST = 64
"""A smaller mask is enlarged, as long as it stays below the longest."""


def encoded(mask: Array, kind: str = "dense") -> tuple[bytes, tuple[int, int]]:
    """Return a mask as PNG, kept black and pruned white, and its width and height.

    Rows are outputs, of each gate or expert one after another; columns are inputs.

    Args:
        mask: The mask, canonical, of two axes or more.
        kind: The kind of its weight.

    >>> encoded(np.eye(100, 200, dtype=bool))[1]
    (200, 100)

    """
    rows = prod(mask.shape[: min(kind_named(kind).out_axis, mask.ndim - 2) + 1])
    plane = np.where(mask, np.uint8(0), np.uint8(255)).reshape(rows, -1)
    longest, shortest = max(plane.shape), min(plane.shape)
    scale = max(1, min(_SHORTEST // shortest, _LONGEST // longest))
    height, width = (min(length * scale, _LONGEST) for length in plane.shape)
    content = io.BytesIO()
    Image.fromarray(plane).resize((width, height), Image.Resampling.BOX).save(content, "PNG")
    return content.getvalue(), (width, height)
