"""The layers of a model, each with its path: names joined from the root down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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


def places_in(place: Place) -> Iterator[Place]:
    """Yield the places directly below one; siblings of equal name get a number.

    >>> twice = [keras.layers.ReLU(name="relu"), keras.layers.Dropout(0.1, name="relu")]
    >>> model = keras.Model()
    >>> model.parts = twice
    >>> [inner.path for inner in places_in(Place("net", model, "net"))]
    ['net.relu', 'net.relu_1']
    """
    directions = _directions(place.layer)
    seen: dict[str, int] = {}
    for layer in children(place.layer):
        name = directions.get(id(layer), layer.name.replace("/", "."))
        count = seen.get(name, 0)
        seen[name] = count + 1
        if count:
            name = f"{name}_{count}"
        path = f"{place.path}.{name}" if place.path else name
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
