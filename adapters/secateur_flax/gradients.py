"""Find the gradients of weights in what `nnx.grad` returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flax import nnx

from secateur.layout import Array
from secateur_flax.weight import FlaxWeight


def gradients_of(model: nnx.Module, weights: Sequence[FlaxWeight], state: Any) -> dict[str, Array]:
    """Return the gradients of some weights, canonical; of those that the state has.

    Args:
        model: The model that was differentiated.
        weights: Its weights.
        state: The gradients, as `nnx.grad` returns them for the model.

    """
    found = {tuple(map(str, path)): _value(leaf) for path, leaf in nnx.to_flat_state(state)}
    by_variable = {
        id(node): found[tuple(map(str, path))]
        for path, node in nnx.iter_graph(model)
        if isinstance(node, nnx.Variable) and tuple(map(str, path)) in found
    }
    gradients = {}
    for weight in weights:
        parts = [by_variable.get(id(variable)) for variable in weight.slot.variables()]
        if all(part is not None for part in parts):
            gradients[weight.spec.name] = weight.canonical(parts)
    return gradients


def _value(leaf: Any) -> Any:
    return leaf.get_value() if hasattr(leaf, "get_value") else getattr(leaf, "value", leaf)
