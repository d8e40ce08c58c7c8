"""All of a model's state: weights, biases and the statistics of normalization."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import keras

from secateur.adapter import StatePart, StateTensor
from secateur.layout import Array
from secateur_keras.walk import Position, children, positions_in
from secateur_keras.weight import KerasWeight, from_numpy, to_numpy


def state_of(
    model: Any, weights: Sequence[KerasWeight], sync: Callable[[], None]
) -> list[StateTensor]:
    """Return what Keras saves of a model's layers, each variable once.

    Args:
        model: A built model or layer.
        weights: Its prunable weights.
        sync: Brings values up to date where the trainer keeps them elsewhere.

    """
    parts = {
        id(weight.variable): (StatePart(weight.spec.name, weight.spec.kind, weight.layout),)
        for weight in weights
    }
    names: dict[int, list[str]] = {}
    held: dict[int, tuple[Any, Any]] = {}
    for name, variable, layer in _variables(model):
        names.setdefault(id(variable), []).append(name)
        held.setdefault(id(variable), (variable, layer))
    return [
        StateTensor(
            names[key][0],
            tuple(variable.shape),
            keras.backend.standardize_dtype(variable.dtype),
            partial(_read, variable, sync),
            partial(_write, variable, layer),
            parts.get(key, ()),
            tuple(names[key][1:]),
        )
        for key, (variable, layer) in held.items()
    ]


def _variables(model: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield a unique name, the variable and its layer; a shared one by each of its paths."""
    taken: dict[str, int] = {}
    for path, layer in _layers(Position("", model, model.name), {}, frozenset()):
        for variable in _own(layer):
            name = wanted = f"{path or layer.name}.{variable.name}"
            number = 0
            while taken.setdefault(name, id(variable)) != id(variable):
                number += 1
                name = f"{wanted}_{number}"
            yield name, variable, layer


def _layers(
    position: Position, paths: dict[str, int], above: frozenset[int]
) -> Iterator[tuple[str, Any]]:
    yield position.path, position.layer
    for inner in positions_in(position, paths):
        if id(inner.layer) not in above:
            yield from _layers(inner, paths, above | {id(position.layer)})


def _own(layer: Any) -> list[Any]:
    """Return the variables that a layer holds itself; metrics and seeds are no weights."""
    inner = {id(variable) for part in children(layer) for variable in part.weights}
    return [variable for variable in layer.weights if id(variable) not in inner]


def _read(variable: Any, sync: Callable[[], None]) -> Array:
    sync()
    return to_numpy(variable.value)


def _write(variable: Any, layer: Any, values: Array) -> None:
    variable.assign(from_numpy(values))
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()  # what it computes from its mean and variance
