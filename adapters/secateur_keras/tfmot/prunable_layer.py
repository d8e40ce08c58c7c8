"""Custom layers that say which of their weights are pruned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

from secateur import LayerWeight, hookimpl
from secateur.adapter import Unprunable
from secateur.errors import ModelError
from secateur.layout import DENSE_IN_OUT, Layout, Reshape, conv_hwio
from secateur_keras.layers import entries_of
from secateur_keras.walk import children


class PrunableLayer(ABC):
    """A base, beside a layer of Keras, for layers that choose the weights that are pruned.

    A layer that has the method without this base is taken for one, too.

    Example:
        >>> import keras
        >>> class WithBias(keras.layers.Dense, PrunableLayer):
        ...     def get_prunable_weights(self):
        ...         return [self.kernel, self.bias]
        >>> layer = WithBias(2)
        >>> layer.build((None, 3))
        >>> [tuple(weight.shape) for weight in layer.get_prunable_weights()]
        [(3, 2), (2,)]

    """

    @abstractmethod
    def get_prunable_weights(self) -> Sequence[Any]:
        """Return the variables of the layer that are to be pruned."""


class PrunableLayers:
    """The plugin that tells secateur what such layers say."""

    @hookimpl
    def secateur_layer_weights(self, adapter: str, layer: object) -> list[LayerWeight] | None:
        """Return the weights of a layer with `get_prunable_weights`; None for other layers.

        Args:
            adapter: The name of the adapter.
            layer: Any layer.

        """
        chosen = getattr(layer, "get_prunable_weights", None)
        if adapter != "keras" or not callable(chosen) or not getattr(layer, "built", False):
            return None
        known = _known(layer)
        return [
            known.get(id(variable)) or _by_shape(layer, variable, number)
            for number, variable in enumerate(chosen())
        ]


def _known(layer: Any) -> dict[int, LayerWeight]:
    """Return what is known of the weights of the layer of Keras that a layer extends."""
    try:
        entries = entries_of(layer) or ()
    except Unprunable:  # it computes with its weights; the layer itself says that these count
        return {}
    return {id(attrgetter(entry.attribute)(layer)): entry for entry in entries}


def _by_shape(layer: Any, variable: Any, number: int) -> LayerWeight:
    """Return a weight as its shape suggests: as of Dense, of a convolution, or a vector."""
    shape = tuple(getattr(variable, "shape", ()))
    attribute = _attribute(layer, variable, number)
    if len(shape) == 1:
        return LayerWeight(attribute, "dense", layout=Layout((Reshape(shape, (*shape, 1)),)))
    if len(shape) == 2:
        return LayerWeight(attribute, "dense", layout=DENSE_IN_OUT)
    if 3 <= len(shape) <= 5:
        groups = getattr(layer, "groups", 1)
        return LayerWeight(attribute, "conv", layout=conv_hwio(len(shape) - 2), groups=groups)
    raise ModelError(
        f"{getattr(layer, 'name', layer)}: get_prunable_weights() returned a value of shape "
        f"{shape}; a weight that is pruned has 1 to 5 axes"
    )


def _attribute(layer: Any, variable: Any, number: int) -> str:
    """Return the path of a variable from its layer; one in a list gets a name of its own."""
    if (path := next(_paths(layer, variable, 3), None)) is not None:
        return path
    name = f"prunable_weight_{number}"
    object.__setattr__(layer, name, variable)
    return name


def _paths(layer: Any, variable: Any, depth: int) -> Iterator[str]:
    named = {name: value for name, value in vars(layer).items() if not name.startswith("__")}
    yield from (name for name, value in named.items() if value is variable)
    if depth:
        parts = {id(part) for part in children(layer)}
        named |= vars(layer).get("_modules", {})  # where torch keeps them
        for name, value in named.items():
            if id(value) in parts:
                yield from (f"{name}.{path}" for path in _paths(value, variable, depth - 1))
