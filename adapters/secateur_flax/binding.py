"""One NNX model, bound: its weights, and the means to keep them masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import nnx

from secateur.adapter import Binding, Skipped
from secateur.errors import ModelError
from secateur.layout import Array
from secateur_flax.walk import Found, places, walk
from secateur_flax.weight import FlaxWeight, variables

if TYPE_CHECKING:
    from secateur.adapter import AttachedPruner


@jax.jit  # type: ignore[untyped-decorator]
def _select(values: list[Any], masks: list[Any]) -> list[Any]:
    """Select, never multiply: a product leaves -0.0, and NaN."""
    return [
        jnp.where(mask, value, jnp.zeros((), value.dtype))
        for value, mask in zip(values, masks, strict=True)
    ]


class FlaxBinding(Binding):
    """An NNX module and its weights.  Nothing is put on the module itself."""

    adapter = "flax"

    def __init__(self, weights: Sequence[FlaxWeight], skipped: Sequence[Skipped]) -> None:
        self.weights: Sequence[FlaxWeight] = weights
        self.skipped = skipped
        self._held: list[tuple[FlaxWeight, list[Any]]] = []

    def apply(self, masks: Mapping[str, Array]) -> None:
        _refuse_tracing()
        self._held = [
            (weight, weight.native(masks[weight.spec.name]))
            for weight in self.weights
            if weight.spec.name in masks
        ]
        self.enforce()

    def enforce(self) -> None:
        _refuse_tracing()
        held = [variable for weight, _ in self._held for variable in weight.variables]
        masks = [mask for _, masks in self._held for mask in masks]
        values = [variable.get_value() for variable in held]
        for variable, value in zip(held, _select(values, masks), strict=True):
            variable.set_value(value)

    def release(self) -> None:
        self._held = []

    def watch_optimizer(self, pruner: AttachedPruner, optimizer: object | None) -> None:
        """Refuse ``optimizer=``: an update happens inside a function that JAX compiles."""
        if optimizer is not None:
            raise ModelError(
                "optimizer= has no meaning for a flax model: nothing can be called from inside "
                "a compiled update. Leave it out, and call pruner.step() after each update, "
                "outside of nnx.jit"
            )


def _refuse_tracing() -> None:
    if isinstance(jnp.zeros(()), jax.core.Tracer):
        raise ModelError(
            "secateur was called inside a function that JAX is tracing (nnx.jit, jax.jit), "
            "where it would run once and never again; nothing was changed. Call pruner.step() "
            "after the jitted train step has returned."
        )


def bind(model: nnx.Module) -> FlaxBinding:
    """Find the weights of a model.

    Shared layers and tied parameters are found once; their other names are aliases.
    """
    first: dict[tuple[int, ...], Found] = {}
    names: dict[tuple[int, ...], list[str]] = {}
    skipped: list[Skipped] = []
    for found in walk(model):
        if isinstance(found, Skipped):
            skipped.append(found)
            continue
        key = tuple(map(id, variables(found.layer, places(found.row))))
        first.setdefault(key, found)
        names.setdefault(key, []).append(found.name)
    weights = [
        FlaxWeight(names[key], found.path, found.layer, found.row, places(found.row))
        for key, found in first.items()
    ]
    return FlaxBinding(weights, list(dict.fromkeys(skipped)))
