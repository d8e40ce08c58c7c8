"""Values as int8 with one scale for each output channel, symmetric around zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from secateur.layout import Array

LARGEST = 127


def scale_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of scales and codebooks: float64 for such weights, else float32."""
    return np.dtype(np.float64 if dtype.name == "float64" else np.float32)


def quantize(values: Array, mask: Array, channels: int) -> tuple[Array, Array]:
    """Return the kept values as int8, and the scale of each channel.

    Args:
        values: All values, flat, channel after channel.
        mask: Which of them are kept, flat.
        channels: The number of channels.

    >>> quantized, scales = quantize(np.array([1.0, -0.5, 0.0, 4.0]), np.ones(4, bool), 2)
    >>> quantized.tolist(), (scales * 127).tolist()
    ([127, -64, 0, 127], [1.0, 4.0])

    """
    rows = values.astype(np.float64).reshape(channels, -1)
    largest = np.max(np.abs(rows), axis=1, initial=0.0)
    scales = (largest / LARGEST).astype(scale_dtype(values.dtype))
    safe = np.where(scales == 0, 1, scales).astype(np.float64)
    # a scale that is rounded to a subnormal may be too small
    quantized = np.clip(np.rint(rows / safe[:, None]), -LARGEST, LARGEST).astype(np.int8)
    return quantized.reshape(-1)[mask], scales


def dequantize(quantized: Array, mask: Array, scales: Array, dtype: np.dtype[Any]) -> Array:
    """Return all values, flat: what is not kept is +0.0.

    Args:
        quantized: The kept values.
        mask: Which values are kept, flat.
        scales: The scale of each channel.
        dtype: The dtype of the values.

    """
    found = np.zeros(mask.shape, scales.dtype)
    found[mask] = quantized
    scaled = found.reshape(scales.size, -1) * scales[:, None]
    # a pruned value has all bits clear, whatever the sign of a hostile scale
    return np.where(mask, scaled.reshape(-1), 0).astype(dtype)
