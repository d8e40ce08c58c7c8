"""What is measured of a weight's values when its mask is recorded."""

from __future__ import annotations

import zlib

import numpy as np

from secateur.layout import Array
from secateur.recording.file import BINS
from secateur.recording.plane import Plane

_MOST_COUNTED = 2**16
_MOST_DEFLATED = 2**20


def histogram(plane: Plane, values: Array) -> tuple[float, Array]:
    """Return the largest magnitude of a sample, and how many lie in each bin below it.

    Zeros are not counted: those are mostly the weights that are pruned already.
    """
    magnitudes = np.abs(_sampled(plane, values, _MOST_COUNTED).astype(np.float64))
    magnitudes = magnitudes[magnitudes > 0]
    largest = float(magnitudes.max(initial=0.0))
    counts = np.histogram(magnitudes, BINS, (0.0, largest or 1.0))[0]
    return largest, counts.astype(np.uint32)


def deflated_size(plane: Plane, values: Array, mask: Array) -> int:
    """Return about how many bytes the masked values take when DEFLATE compresses them."""
    sample = _sampled(plane, values, _MOST_DEFLATED)
    masked = np.where(_sampled(plane, mask, _MOST_DEFLATED), sample, np.zeros((), sample.dtype))
    if not masked.size:
        return 0
    return round(len(zlib.compress(masked.tobytes(), 6)) * values.size / masked.size)


def _sampled(plane: Plane, values: Array, most: int) -> Array:
    """Return evenly spaced rows of a weight, of at most so many values together."""
    rows = values.reshape(plane.rows, plane.columns)
    wanted = max(1, most // max(plane.columns, 1))
    if wanted < plane.rows:
        rows = rows[np.arange(wanted) * plane.rows // wanted]
    return rows[:, :most]
