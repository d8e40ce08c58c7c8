"""A walk over the layers of a model, with the names that users see in plans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from flax import nnx

from secateur import layer_weights
from secateur.adapter import (
    FLOATS,
    NORMALIZATION,
    NOT_PRUNABLE,
    QUANTIZED,
    Found,
    LayerWeight,
    Skipped,
    Unprunable,
    below,
    unknown_layer,
)
from secateur_flax.forward import bypass_reasons, other_values_reason
from secateur_flax.layers import NORMALIZATION_LAYERS, attributes_of, table_entries
from secateur_flax.weight import Slot, canonical_shape, size_of

Met = Found[Slot] | Skipped
"""What a walk meets: a weight, or what is left dense."""


def walk(model: nnx.Module) -> Iterator[Met]:
    """Go through the layers in the order of definition.

    Shared layers are met once by each of their paths.

    Args:
        model: The model.

    """
    yield from _Walk(type(model).__name__).module(model, (), frozenset(), {})


def count_parameters(model: nnx.Module, slots: Iterable[Slot]) -> int:
    """Return how many values all parameters of a model have.

    Args:
        model: The model.
        slots: Those of its prunable weights, which may be variables of any type.

    """
    variables = {id(each): each for each in _parameters(model)}
    variables |= {id(each): each for slot in slots for each in slot.variables()}
    return size_of(list(variables.values()))


class _Walk:
    """One walk.

    Args:
        root: The name of a model that is a single layer.

    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._counted: set[int] = set()

    def module(
        self,
        module: nnx.Module,
        path: tuple[str, ...],
        above: frozenset[int],
        passed_by: Mapping[str, str],
    ) -> Iterator[Met]:
        """Meet a module and all that it holds.

        Args:
            module: The module.
            path: Where it is in the model.
            above: The ids of the modules that hold it.
            passed_by: Why modules that hold it may compute with other values, by the paths from
                here of the layers that they pass by; an empty one is the module itself.

        """
        name, cls = ".".join(path) or self._root, type(module).__name__
        try:
            entries = _entries(module, passed_by.get(""))
        except Unprunable as reason:
            yield Skipped(name, f"{cls}: {reason}", self._size(_parameters(module)))
            return
        for entry in entries or ():
            yield self._weight(module, name, entry)
        claimed = {key.split(".")[0] for entry in entries or () for key in attributes_of(entry)}
        yield from self._rest(module, name, claimed, known=entries is not None)
        reasons, inside = {**passed_by, **bypass_reasons(type(module))}, above | {id(module)}
        for key, child in _children(module):
            if key not in claimed and id(child) not in above:
                yield from self.module(child, (*path, key), inside, _below(reasons, key))

    def _weight(self, module: nnx.Module, layer: str, entry: LayerWeight) -> Met:
        name, slot = f"{layer}:{entry.role}", Slot(module, attributes_of(entry))
        try:
            identity = _fitting_identity(slot, entry)
        except Unprunable as reason:
            size = self._size(_present(slot))
            return Skipped(name, f"{type(module).__name__}: {reason}", size)
        self._counted |= set(identity)
        return Found(name, layer, entry, identity, slot)

    def _rest(
        self, module: nnx.Module, name: str, claimed: set[str], *, known: bool
    ) -> Iterator[Met]:
        """Meet the parameters that a layer holds besides its prunable weights."""
        own = {key: value for key, value in _own_parameters(module) if key not in claimed}
        cls = type(module).__name__
        if known:
            for key, value in own.items():
                if "bias" not in key:
                    yield Skipped(f"{name}.{key}", f"{cls}: {NOT_PRUNABLE}", self._size([value]))
        elif isinstance(module, NORMALIZATION_LAYERS):
            if own:
                yield Skipped(name, f"{cls}: {NORMALIZATION}", self._size(own.values()))
        elif own:
            reason = unknown_layer("flax", cls, list(own))
            yield Skipped(name, reason, self._size(own.values()))

    def _size(self, variables: Iterable[Any]) -> int:
        """Return how many values the parameters have that were not counted before."""
        new = {id(each): each for each in variables if id(each) not in self._counted}
        self._counted |= new.keys()
        return size_of(list(new.values()))


def _below(reasons: Mapping[str, str], key: str) -> Mapping[str, str]:
    """Return the reasons for layers in a part of a module; ``layers.0`` is an item of a list."""
    for part in key.split("."):
        reasons = below(reasons, part)
    return reasons


def _entries(module: nnx.Module, passed_by: str | None) -> Sequence[LayerWeight] | None:
    from_plugins: Sequence[LayerWeight] | None = layer_weights("flax", module)
    if from_plugins is not None:
        return from_plugins
    entries = table_entries(module)
    if passed_by and entries and any(entry.kind == "embedding" for entry in entries):
        passed_by = None  # a table is what a model computes on
    if entries and (reason := passed_by or other_values_reason(module, entries)):
        raise Unprunable(reason)
    return entries


def _fitting_identity(slot: Slot, entry: LayerWeight) -> tuple[int, ...]:
    """Return the identity of a slot whose parameters fit their entry.

    Raises:
        Unprunable: They do not.

    """
    try:
        variables = slot.variables()
    except LookupError as error:
        raise Unprunable(str(error)) from None
    for attribute, variable in zip(slot.attributes, variables, strict=True):
        if variable.dtype.name not in FLOATS:
            raise Unprunable(f"{attribute} is {variable.dtype.name}; {QUANTIZED}")
    try:
        canonical_shape(entry, variables)
    except ValueError as error:
        shapes = ", ".join(str(tuple(variable.shape)) for variable in variables[:3])
        raise Unprunable(f"{entry.attribute} {shapes} does not fit the layer ({error})") from None
    return slot.identity()


def _present(slot: Slot) -> list[Any]:
    try:
        return slot.variables()
    except LookupError:
        return []


def _parameters(module: nnx.Module) -> Iterator[Any]:
    """Yield every parameter of a module and of all that it holds, each once."""
    for _, node in nnx.iter_graph(module):
        if isinstance(node, nnx.Param):
            yield node


def _own_parameters(module: nnx.Module) -> Iterator[tuple[str, Any]]:
    for key, value in _attributes(module):
        yield from ((k, v) for k, v in _items(key, value) if isinstance(v, nnx.Param))


def _children(module: nnx.Module) -> Iterator[tuple[str, nnx.Module]]:
    for key, value in _attributes(module):
        yield from ((k, v) for k, v in _items(key, value) if isinstance(v, nnx.Module))


def _items(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield an attribute, or what a plain container in it holds."""
    if isinstance(value, list | tuple | dict):
        pairs: Any = value.items() if isinstance(value, dict) else enumerate(value)
        yield from ((f"{key}.{position}", held) for position, held in pairs)
    else:
        yield key, value


def _attributes(module: nnx.Module) -> list[tuple[str, Any]]:
    """Return the attributes as `__init__` set them; nnx.merge sorts them by the alphabet."""
    order = [*getattr(module, "_pytree__nodes", ()), *vars(module)]
    return sorted(vars(module).items(), key=lambda attribute: order.index(attribute[0]))
