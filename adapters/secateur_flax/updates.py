"""What cannot follow an update: code that JAX traces, and so an optimizer inside it."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from secateur.errors import ModelError


def refuse_tracing() -> None:
    """Raise ModelError inside a function that JAX is tracing."""
    if isinstance(jnp.zeros(()), jax.core.Tracer):
        raise ModelError(
            "secateur was called inside a function that JAX is tracing (nnx.jit, jax.jit), "
            "where it would run once and never again; nothing was changed. Call pruner.step() "
            "after the jitted train step has returned."
        )


def refuse_optimizer(optimizer: object | None) -> None:
    """Raise ModelError for an ``optimizer=``.

    Args:
        optimizer: What `secateur.attach` was given.

    """
    if optimizer is not None:
        raise ModelError(
            "optimizer= has no meaning for a flax model: nothing can be called from inside a "
            "compiled update. Leave it out, and call pruner.step() after each update, outside "
            "of nnx.jit"
        )
