"""The layers of a model, each with its path: names joined from the root down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import keras


@dataclass(frozen=True)
class Place:
    """A layer where it stands in the model; a shared layer has several places.

    `whole` is the path of the layer that it counts as: both directions of a Bidirectional
    are one.
    """

    path: str
    layer: Any
    whole: str


def children(layer: Any) -> list[Any]:
    """Return the layers directly inside a layer, in the order of the model."""
    found: list[Any] = layer._flatten_layers(include_self=False, recursive=False)
    return found


def places_in(place: Place, taken: dict[str, int]) -> Iterator[Place]:
    """Yield the places directly below one; layers of equal path get a number.

    taken: the paths of the model so far, and the id of the layer that each belongs to.

    >>> twice = [keras.layers.ReLU(name="relu"), keras.layers.Dropout(0.1, name="relu")]
    >>> model = keras.Model()
    >>> model.parts = twice
    >>> [inner.path for inner in places_in(Place("net", model, "net"), {})]
    ['net.relu', 'net.relu_1']
    """
    directions = _directions(place.layer)
    above = f"{place.path}." if place.path else ""
    named = [
        (layer, above + directions.get(id(layer), layer.name.replace("/", ".")))
        for layer in children(place.layer)
    ]
    siblings = {path for _, path in named}
    for layer, wanted in named:
        path, numbered = wanted, (f"{wanted}_{number}" for number in count(1))
        while taken.setdefault(path, id(layer)) != id(layer):
            path = next(one for one in numbered if one not in siblings)
        yield Place(path, layer, place.whole if id(layer) in directions else path)


def _directions(layer: Any) -> dict[int, str]:
    """Return plain names for the two halves of a Bidirectional; Keras numbers theirs."""
    if not isinstance(layer, keras.layers.Bidirectional):
        return {}
    return {id(layer.forward_layer): "forward", id(layer.backward_layer): "backward"}


def own_variables(layer: Any) -> list[Any]:
    """Return the floating-point variables that a layer holds itself, not through a part of it."""
    inner = {id(variable) for part in children(layer) for variable in part.variables}
    return [
        variable
        for variable in layer.variables
        if id(variable) not in inner and "float" in str(variable.dtype)
    ]
