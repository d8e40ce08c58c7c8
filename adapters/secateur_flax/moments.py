"""What an optimizer keeps of single values, such as momentum: cleared where values come back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from secateur.layout import Array
from secateur_flax.binding import bind
from secateur_flax.updates import refuse_tracing

State = TypeVar("State")
Path = tuple[str, ...]


def clear_moments(state: State, model: nnx.Module, revived: Mapping[str, Array]) -> State:
    """Set to zero what an optimizer keeps of values that come back: momentum, second moments.

    Call it after each `pruner.step()` under a policy by which weights grow again, outside of
    `nnx.jit`.

    Args:
        state: An `nnx.Optimizer`, which is changed in place, or a state of optax for the
            parameters of the model, of which a changed copy is returned.
        model: The model that is pruned.
        revived: What ``pruner.revived`` holds; empty at most steps.

    Returns:
        The optimizer, or the new state.

    Raises:
        ModelError: It was called inside a function that JAX is tracing.

    Example:
        >>> import numpy as np
        >>> import optax
        >>> model = nnx.Linear(2, 2, use_bias=False, rngs=nnx.Rngs(0))
        >>> moments = optax.trace(0.9).init(nnx.state(model, nnx.Param))
        >>> moments = jax.tree.map(lambda leaf: leaf + 1, moments)
        >>> back = {"Linear:kernel": np.array([[True, False], [False, False]])}
        >>> clear_moments(moments, model, back).trace["kernel"][...].tolist()
        [[0.0, 1.0], [1.0, 1.0]]

    """
    if not revived:
        return state
    refuse_tracing()
    masks = _masks_by_path(model, revived)
    if not isinstance(state, nnx.Optimizer):
        cleared: State = _cleared(state, masks)
        return cleared
    nnx.update(state, _cleared(nnx.state(state), masks))
    return state


def _masks_by_path(model: nnx.Module, revived: Mapping[str, Array]) -> dict[Path, Array | None]:
    """Return where values of each parameter come back, by its path; None where none do."""
    back: dict[int, Array] = {}
    for weight in bind(model).weights:
        if weight.spec.name in revived:
            parts = weight.parts_of(revived[weight.spec.name])
            back |= dict(zip(map(id, weight.slot.variables()), parts, strict=True))
    return {
        tuple(map(str, path)): back.get(id(node))
        for path, node in nnx.iter_graph(model)
        if isinstance(node, nnx.Variable)
    }


def _cleared(state: Any, masks: Mapping[Path, Array | None]) -> Any:
    def clear(path: tuple[Any, ...], leaf: Any) -> Any:
        mask = _mask_of(path, masks)
        if mask is None or getattr(leaf, "shape", None) != mask.shape:
            return leaf
        return jnp.where(mask, jnp.zeros((), leaf.dtype), leaf)

    return jax.tree_util.tree_map_with_path(clear, state)


def _mask_of(path: tuple[Any, ...], masks: Mapping[Path, Array | None]) -> Array | None:
    """Return the mask of the parameter whose path ends a path in a state; of the longest such."""
    names = tuple(str(_name(part)) for part in path)
    if path and getattr(path[-1], "name", None) == "value":
        names = names[:-1]  # of a variable
    ends = (names[start:] for start in range(len(names)))
    return next((masks[end] for end in ends if end in masks), None)


def _name(part: Any) -> Any:
    """Return the name, key or index by which a step of a path goes."""
    return next(
        (getattr(part, kind) for kind in ("key", "idx", "name") if hasattr(part, kind)), part
    )
