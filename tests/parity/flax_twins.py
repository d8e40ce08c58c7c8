"""Twins in Flax NNX, for the layers that it keeps in one parameter of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.parity import steps as s
from tests.parity.twins import Twin

KNOWN = (s.Dense, s.Conv, s.Depthwise, s.Embedding, s.Attention)


def has_flax_twin(twin: Twin) -> bool:
    """Return whether every layer of a twin is one of those."""
    return all(isinstance(layer, KNOWN) for layer in twin.layers)


def flax_twin(twin: Twin) -> Any:
    """Return the twin's layers as an NNX module; masks need no forward pass."""
    from flax import nnx

    class Network(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            for layer in twin.registered_layers:
                setattr(self, layer.name, _module(layer, nnx, rngs))

    return Network(nnx.Rngs(0))


def _module(layer: s.Layer, nnx: Any, rngs: Any) -> Any:
    match layer:
        case s.Dense():
            return nnx.Linear(layer.inputs, layer.outputs, rngs=rngs)
        case s.Conv():
            groups = layer.groups
            return nnx.Conv(
                layer.inputs, layer.outputs, layer.kernel, feature_group_count=groups, rngs=rngs
            )
        case s.Depthwise():
            groups = layer.channels
            return nnx.Conv(
                groups, layer.outputs, layer.kernel, feature_group_count=groups, rngs=rngs
            )
        case s.Embedding():
            return nnx.Embed(layer.rows, layer.features, rngs=rngs)
        case s.Attention():
            return nnx.MultiHeadAttention(
                layer.heads, layer.width, use_bias=False, decode=False, rngs=rngs
            )
    raise TypeError(layer)


def fill_flax(network: Any, twin: Twin, weights: dict[str, dict[str, s.Array]]) -> None:
    """Give a Flax twin canonical weights."""
    import jax.numpy as jnp

    for layer in twin.layers:
        module = getattr(network, layer.name)
        for role, value in weights[layer.name].items():
            owner, stored = _stored(module, layer, role, value)
            owner.set_value(jnp.array(stored))


def _stored(module: Any, layer: s.Layer, role: str, value: s.Array) -> tuple[Any, s.Array]:
    match layer:
        case s.Embedding():
            return module.embedding, value
        case s.Attention():
            size = layer.width // layer.heads
            if role == "output":
                return module.out.kernel, value.T.reshape(layer.heads, size, layer.width)
            return getattr(module, role).kernel, value.T.reshape(layer.width, layer.heads, size)
    return module.kernel, np.moveaxis(value, (0, 1), (-1, -2))
