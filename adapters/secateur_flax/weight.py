"""One prunable weight of an NNX model: one parameter, or several that are stacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from operator import attrgetter
from typing import Any
from weakref import WeakValueDictionary

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from secateur.adapter import ATTACH_AGAIN, Collected, LayerWeight, Weight, WeightSpec
from secateur.errors import ModelError
from secateur.layout import Array
from secateur_flax.masking import placed_like
from secateur_flax.updates import refuse_tracing


@dataclass(frozen=True, eq=False)
class Slot:
    """Where a layer keeps a weight.

    Attributes:
        layer: The layer.
        attributes: The parameter, or those that are stacked along a new first axis; a dotted
            path leads into a part of the layer.

    """

    layer: nnx.Module
    attributes: tuple[str, ...]

    def variables(self) -> list[Any]:
        """Return the parameters as they are now: training may replace them.

        Raises:
            LookupError: One is gone, or is no longer an `nnx.Variable`.

        """
        found = []
        for attribute in self.attributes:
            try:
                variable = attrgetter(attribute)(self.layer)
            except AttributeError:
                raise LookupError(f"{attribute} is gone") from None
            if not isinstance(variable, nnx.Variable):
                raise LookupError(f"{attribute} is a {type(variable).__name__}, no nnx.Variable")
            found.append(variable)
        return found

    def identity(self) -> tuple[int, ...]:
        """Return what is equal for two slots that hold the same parameters.

        Raises:
            LookupError: As `variables` does.

        """
        return tuple(map(id, self.variables()))


class Holder:
    """Stands for a variable, which cannot be referenced weakly; there is one of each.

    Attributes:
        variable: The variable.

    """

    _known: WeakValueDictionary[int, Holder] = WeakValueDictionary()

    def __init__(self, variable: Any) -> None:
        self.variable = variable  # keeps it alive, so that its id stays its own

    @classmethod
    def of(cls, variable: Any) -> Holder:
        """Return the one holder of a variable."""
        return cls._known.setdefault(id(variable), cls(variable))


class FlaxWeight(Weight):
    """A weight of a layer, in canonical layout.

    Args:
        spec: What is known of it.
        entry: The entry of the table that describes it.
        slot: Where it is kept.

    Attributes:
        layout: Leads from the parameter, or those that are stacked, to the canonical layout.

    """

    def __init__(self, spec: WeightSpec, entry: LayerWeight, slot: Slot) -> None:
        self.spec, self.slot = spec, slot
        self.layout = entry.layout
        variables = slot.variables()
        self._shapes = [tuple(variable.shape) for variable in variables]
        self._holder = Holder.of(variables[0])

    def read(self) -> Array:
        """Return the present values, read-only.

        Raises:
            ModelError: They are no longer where they were, or have another shape.

        """
        return self.canonical(self.values())

    def canonical(self, values: Sequence[Any]) -> Array:
        """Return values of the parameters, or like theirs, in canonical layout, read-only.

        Args:
            values: An array of JAX or NumPy for each parameter.

        """
        arrays = [_to_numpy(value, self.spec.name) for value in values]
        canonical = self.layout.to_canonical(_stacked(arrays)).view()
        canonical.flags.writeable = False
        return canonical

    def write(self, values: Array) -> None:
        refuse_tracing()
        for variable, part in zip(self.slot.variables(), self.parts_of(values), strict=True):
            set_values(variable, part)

    def identity(self) -> object:
        return self._holder

    def change(self) -> str | None:
        """Return how the parameters differ from those that were bound; None if they fit."""
        try:
            variables = self.slot.variables()
        except LookupError as error:
            return str(error)
        for attribute, variable, shape in zip(
            self.slot.attributes, variables, self._shapes, strict=True
        ):
            now = tuple(variable.shape)
            if now != shape:
                return f"{attribute} has shape {now}, and had {shape}"
        return None

    def native_mask(self, mask: Array) -> list[Any]:
        """Return a canonical mask as one mask for each parameter, on its devices.

        Args:
            mask: The mask.

        """
        parts = self.parts_of(mask)
        if self.change():
            return parts
        values = self.values()
        return [placed_like(part, value) for part, value in zip(parts, values, strict=True)]

    def parts_of(self, mask: Array) -> list[Array]:
        """Return a canonical mask as one mask for each parameter.

        Args:
            mask: The mask.

        """
        native = self.layout.from_canonical(mask)
        return [native] if len(self._shapes) == 1 else list(native)

    def values(self) -> list[Any]:
        """Return the present values of the parameters.

        Raises:
            ModelError: They are no longer where they were, or have another shape.

        """
        if change := self.change():
            raise ModelError(
                f"{self.spec.name}: {change}; the model was changed after the pruner was attached"
                f"{ATTACH_AGAIN}"
            )
        return [variable.get_value() for variable in self.slot.variables()]


def spec_of(collected: Collected[Slot]) -> WeightSpec:
    """Return what is known of a weight, its canonical shape included.

    Raises:
        ModelError: The model holds shapes only, and no values.

    """
    found = collected.found
    variables = found.where.variables()
    for variable in variables:
        _check_values(variable.get_value(), found.name)
    return WeightSpec(
        found.name,
        found.entry.kind,
        found.entry.role,
        canonical_shape(found.entry, variables),
        np.dtype(variables[0].dtype).name,
        found.layer,
        collected.aliases,
        all(isinstance(variable, nnx.Param) for variable in variables),
        collected.alias_layers,
        found.entry.groups,
    )


def canonical_shape(entry: LayerWeight, variables: Sequence[Any]) -> tuple[int, ...]:
    """Return the canonical shape of the weight that an entry of the table describes.

    Args:
        entry: The entry.
        variables: The parameters that hold it.

    Raises:
        ValueError: Their shapes do not fit the entry.

    """
    empty = [np.broadcast_to(np.empty(()), tuple(variable.shape)) for variable in variables]
    return entry.layout.to_canonical(_stacked(empty)).shape


def size_of(variables: Sequence[Any]) -> int:
    """Return how many values some parameters have together."""
    return sum(prod(variable.shape) for variable in variables)


def _stacked(arrays: Sequence[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.stack(arrays)


def set_values(variable: Any, values: Array) -> None:
    """Give a variable other values, where its present ones lie.

    Args:
        variable: The variable.
        values: The values, of its shape and dtype.

    """
    old, new = variable.get_value(), jnp.asarray(values)
    variable.set_value(jax.device_put(new, old.sharding) if old.committed else new)


def _check_values(value: Any, name: str) -> None:
    if isinstance(value, jax.ShapeDtypeStruct):
        raise ModelError(
            f"{name} has a shape and no values, as nnx.eval_shape makes it; build the model, or "
            "merge a state of values into it, first"
        )


def _to_numpy(value: Any, name: str) -> Array:
    _check_values(value, name)
    if isinstance(value, jax.Array) and not value.is_fully_addressable:
        raise ModelError(
            f"{name} lies on devices of several processes, which the flax adapter cannot read; "
            "prune a model that each process holds whole"
        )
    return np.asarray(value)
