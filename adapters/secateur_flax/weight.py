"""One prunable weight of an NNX model: one parameter, or several that are stacked."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from secateur.adapter import LayerWeight, Weight, WeightSpec
from secateur.layout import Array


def variables(layer: nnx.Module, places: Sequence[str]) -> list[Any]:
    """Return the parameters of a layer by their dotted paths."""
    return [attrgetter(place)(layer) for place in places]


class FlaxWeight(Weight):
    """A weight of a layer, seen in canonical layout."""

    def __init__(
        self, names: Sequence[str], path: str, layer: nnx.Module, row: LayerWeight, places: Any
    ) -> None:
        self._layer, self._layout, self._places = layer, row.layout, places
        value = self.read()
        self.spec = WeightSpec(
            names[0], row.kind, row.role, value.shape, value.dtype.name, path, tuple(names[1:])
        )

    @property
    def variables(self) -> list[Any]:
        """The parameters as they are now: training may replace them."""
        return variables(self._layer, self._places)

    def read(self) -> Array:
        arrays = [np.asarray(variable.get_value()) for variable in self.variables]
        array = arrays[0] if len(arrays) == 1 else np.stack(arrays)
        canonical = self._layout.to_canonical(array).view()
        canonical.flags.writeable = False
        return canonical

    def native(self, mask: Array) -> list[Any]:
        """Return a canonical mask as one mask for each parameter, placed as that is."""
        native = self._layout.from_canonical(mask)
        parts = [native] if len(self._places) == 1 else list(native)
        return [
            _placed(part, variable.get_value())
            for part, variable in zip(parts, self.variables, strict=True)
        ]


def _placed(mask: Array, like: Any) -> Any:
    # A committed mask would commit the weight too, and the user's step would compile again.
    return jax.device_put(mask, like.sharding) if like.committed else jnp.asarray(mask)
