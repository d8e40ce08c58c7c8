"""The layers of a model, each with its path: names joined from the root down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """A layer where it stands in the model; a shared layer has several places."""

    path: str
    layer: Any


def children(layer: Any) -> list[Any]:
    """Return the layers directly inside a layer, in the order of the model."""
    found: list[Any] = layer._flatten_layers(include_self=False, recursive=False)
    return found


def places_in(place: Place) -> Iterator[Place]:
    """Yield the places directly below one; siblings of equal name get a number.

    >>> places_in(Place("", model))  # doctest: +SKIP
    [Place(path='encoder', layer=...), Place(path='encoder_1', layer=...)]
    """
    seen: dict[str, int] = {}
    for layer in children(place.layer):
        name = layer.name.replace("/", ".")
        count = seen.get(name, 0)
        seen[name] = count + 1
        if count:
            name = f"{name}_{count}"
        yield Place(f"{place.path}.{name}" if place.path else name, layer)


def own_variables(layer: Any) -> list[Any]:
    """Return the floating-point variables that a layer holds itself, not through a part of it."""
    inner = {id(variable) for part in children(layer) for variable in part.variables}
    return [
        variable
        for variable in layer.variables
        if id(variable) not in inner and "float" in str(variable.dtype)
    ]
