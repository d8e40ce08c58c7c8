"""Masks on JAX arrays: selected by one compiled function, and counted by another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from secateur.adapter import pruned_copy
from secateur.layout import Array


@jax.jit  # type: ignore[untyped-decorator]
def select(values: Sequence[Any], masks: Sequence[Any]) -> list[Any]:
    """Return values with +0.0 where their masks prune.

    Zeros are selected, never multiplied: a product leaves -0.0, and NaN.

    Args:
        values: Float arrays.
        masks: A bool array for each of them, of its shape; True = kept.

    Example:
        >>> select([jnp.array([-1.0, 2.0])], [jnp.array([False, True])])[0].tolist()
        [0.0, 2.0]

    """
    return [
        jnp.where(mask, value, jnp.zeros((), value.dtype))
        for value, mask in zip(values, masks, strict=True)
    ]


@jax.jit  # type: ignore[untyped-decorator]
def count_nonzero_pruned(values: Sequence[Any], masks: Sequence[Any]) -> list[Any]:
    """Return how many of the values are nonzero where their masks prune.

    Args:
        values: Float arrays.
        masks: A bool array for each of them, of its shape; True = kept.

    Example:
        >>> count_nonzero_pruned([jnp.ones(2)], [jnp.array([False, True])])[0].tolist()
        1

    """
    return [
        jnp.count_nonzero((value != 0) & ~mask) for value, mask in zip(values, masks, strict=True)
    ]


def placed_like(mask: Any, value: Any) -> Any:
    """Return a mask on the devices of the value that it masks.

    A mask is committed to its devices only where the value is: it would commit the value too,
    and the user's step would be compiled again.

    Args:
        mask: A bool array of NumPy or JAX.
        value: An array of the same shape.

    """
    if not getattr(value, "committed", False):
        return jnp.asarray(mask)
    if getattr(mask, "sharding", None) == value.sharding:
        return mask
    return jax.device_put(mask, value.sharding)


def is_in_main_memory(value: Any) -> bool:
    """Return whether a value is a JAX array that lies whole in main memory.

    Args:
        value: The value of a variable.

    """
    if not isinstance(value, jax.Array) or isinstance(value, jax.core.Tracer):
        return False
    return [device.platform for device in value.devices()] == ["cpu"]


def pruned(value: Any, mask: Array) -> Any:
    """Return a value in main memory with +0.0 where a mask prunes, placed as it was.

    NumPy makes it in half the time of XLA, and JAX takes its memory over.

    Args:
        value: A JAX array.
        mask: A bool array of its shape; True = kept.

    Example:
        >>> pruned(jnp.array([-1.0, 2.0]), np.array([False, True])).tolist()
        [0.0, 2.0]

    """
    placement = value.sharding if value.committed else None
    return jax.device_put(pruned_copy(np.asarray(value), mask), placement)
