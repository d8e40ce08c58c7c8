"""Masks on JAX arrays: selected by one compiled function, and counted by another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp


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
