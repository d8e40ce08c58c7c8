"""All of a model's state: parameters and statistics, but no streams of random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import nnx

from secateur.adapter import StatePart, StateTensor
from secateur.errors import ModelError
from secateur.layout import DENSE_IN_OUT, IDENTITY, Array
from secateur_flax.weight import FlaxWeight, set_values


def state_of(model: nnx.Module, weights: Sequence[FlaxWeight]) -> list[StateTensor]:
    """Return the variables of a model that hold values, each once.

    Args:
        model: The model.
        weights: Its prunable weights.

    Raises:
        ModelError: A variable holds no values of its own.

    """
    parts = _parts(weights)
    names: dict[int, list[str]] = {}
    held: dict[int, Any] = {}
    for path, node in nnx.iter_graph(model):
        if isinstance(node, nnx.Variable) and not isinstance(node, nnx.RngState):
            names.setdefault(id(node), []).append(".".join(map(str, path)))
            held[id(node)] = node
    return [_tensor(names[key], variable, parts.get(key, ())) for key, variable in held.items()]


def _tensor(names: Sequence[str], variable: Any, parts: tuple[StatePart, ...]) -> StateTensor:
    value = variable.get_value()
    if not isinstance(value, jax.Array) or not value.is_fully_addressable:
        raise ModelError(
            f"{names[0]:.80} holds a {type(value).__name__} that this process cannot read whole; "
            "it can be neither packed nor filled"
        )
    return StateTensor(
        names[0],
        tuple(value.shape),
        np.dtype(value.dtype).name,
        partial(_read, variable),
        partial(set_values, variable),
        parts,
        tuple(names[1:]),
    )


def _parts(weights: Sequence[FlaxWeight]) -> dict[int, tuple[StatePart, ...]]:
    """Return the weight in each variable; of one that is stacked from several, its piece."""
    found: dict[int, tuple[StatePart, ...]] = {}
    for weight in weights:
        spec, variables = weight.spec, weight.slot.variables()
        if len(variables) == 1:
            found[id(variables[0])] = (StatePart(spec.name, spec.kind, weight.layout),)
            continue
        for attribute, variable in zip(weight.slot.attributes, variables, strict=True):
            layout = DENSE_IN_OUT if variable.ndim == 2 else IDENTITY
            found[id(variable)] = (StatePart(f"{spec.name}.{attribute}", "dense", layout),)
    return found


def _read(variable: Any) -> Array:
    return np.asarray(variable.get_value())
