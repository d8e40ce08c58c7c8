"""A walk over the layers of a model, with the names that users see in plans."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from math import prod
from operator import attrgetter
from typing import Any

import keras

from secateur import layer_weights
from secateur.adapter import (
    NORMALIZATION,
    NOT_PRUNABLE,
    Collected,
    Found,
    LayerWeight,
    Skipped,
    Unprunable,
    collect,
    unknown_layer,
)
from secateur.errors import ModelError, listed
from secateur_keras.layers import (
    NORMALIZATION_LAYERS,
    check_unmodified,
    entries_of,
    is_known,
)

NOT_BUILT = "not built: the layer was never called on data, and has no weights yet"
VECTORS = "holds vectors only, which are never pruned"
BIT_WIDTHS = "holds the bit widths of a quantizer, which are never pruned"
_SHOWN = 5
"""How many layers an error lists."""


@dataclass(frozen=True)
class Position:
    """A layer at one of its positions in the model; a shared layer has several.

    Attributes:
        path: The names of the layers from the root down, joined.
        layer: The layer.
        whole: The path of the layer that it counts as: both directions of a Bidirectional are one.

    """

    path: str
    layer: Any
    whole: str


Met = Found[Any] | Skipped


def find(model: Any) -> tuple[list[Collected[Any]], list[Skipped]]:
    """Return the prunable variables in the order of the model, each once, and the rest.

    Args:
        model: A built layer or model.

    Raises:
        ModelError: Weights may be missing, as nothing was called on data yet.

    """
    weights, skipped = collect(walk(model))
    first: dict[str, Skipped] = {}
    for each in skipped:
        first.setdefault(each.name, each)
    unbuilt = [each.name for each in first.values() if each.reason == NOT_BUILT]
    _check_built(model, unbuilt, bool(weights))
    return weights, list(first.values())


def walk(model: Any) -> Iterator[Met]:
    """Yield each prunable variable and each layer left dense, in the order of the model.

    A shared layer is met once by each of its paths.
    """
    yield from _visit(Position("", model, model.name), model.name, {}, frozenset())


def count_parameters(model: Any) -> int:
    """Return the number of all parameters of a model, without the statistics of normalization."""
    statistics = {
        id(variable)
        for layer in model._flatten_layers()
        if isinstance(layer, NORMALIZATION_LAYERS)
        for variable in _statistics(layer)
    }
    weights = {id(variable): variable for variable in model.weights}
    return _size(variable for key, variable in weights.items() if key not in statistics)


def children(layer: Any) -> list[Any]:
    """Return the layers directly inside a layer, in the order of the model."""
    found: list[Any] = layer._flatten_layers(include_self=False, recursive=False)
    return found


def positions_in(position: Position, taken: dict[str, int]) -> Iterator[Position]:
    """Yield the positions directly below one; layers of equal path get a number.

    Args:
        position: Where to look.
        taken: The paths of the model so far, and the id of the layer that each belongs to.

    Example:
        >>> twice = [keras.layers.ReLU(name="relu"), keras.layers.Dropout(0.1, name="relu")]
        >>> model = keras.Model()
        >>> model.parts = twice
        >>> [inner.path for inner in positions_in(Position("net", model, "net"), {})]
        ['net.relu', 'net.relu_1']

    """
    directions = _directions(position.layer)
    above = f"{position.path}." if position.path else ""
    named = [
        (layer, above + directions.get(id(layer), layer.name.replace("/", ".")))
        for layer in children(position.layer)
    ]
    siblings = {path for _, path in named}
    for layer, wanted in named:
        path, numbered = wanted, (f"{wanted}_{number}" for number in count(1))
        while taken.setdefault(path, id(layer)) != id(layer):
            path = next(one for one in numbered if one not in siblings)
        yield Position(path, layer, position.whole if id(layer) in directions else path)


def _directions(layer: Any) -> dict[int, str]:
    """Return plain names for the two halves of a Bidirectional; Keras numbers theirs."""
    if not isinstance(layer, keras.layers.Bidirectional):
        return {}
    return {id(layer.forward_layer): "forward", id(layer.backward_layer): "backward"}


def _own_variables(layer: Any) -> list[Any]:
    """Return the floating-point variables that a layer holds itself, not through a part of it."""
    inner = {id(variable) for part in children(layer) for variable in part.variables}
    return [
        variable
        for variable in layer.variables
        if id(variable) not in inner and "float" in str(variable.dtype)
    ]


def _statistics(layer: Any) -> Sequence[Any]:
    """Return what a normalization layer has seen of its inputs: no parameters."""
    statistics: Sequence[Any] = getattr(layer, "_non_trainable_variables", ())
    return statistics


def _size(variables: Iterator[Any] | Sequence[Any]) -> int:
    return sum(prod(variable.shape) for variable in variables)


def _visit(
    position: Position, name: str, paths: dict[str, int], above: frozenset[int]
) -> Iterator[Met]:
    layer = position.layer
    taken = yield from _visit_layer(position, name)
    if taken is None:
        return
    for inner in positions_in(position, paths):
        held = {id(variable) for variable in inner.layer.variables}
        if id(inner.layer) not in above and not held & taken:
            yield from _visit(inner, inner.path, paths, above | {id(layer)})


def _visit_layer(position: Position, name: str) -> Generator[Met, None, set[int] | None]:
    """Yield what a layer holds itself; return the ids of its variables, None to skip its parts."""
    layer = position.layer
    if _lacks_weights(layer):
        yield Skipped(name, NOT_BUILT)
        return set()
    try:
        entries = _entries(layer)
    except Unprunable as reason:
        own = _own_variables(layer)
        yield Skipped(name, str(reason), _size(own))
        return {id(variable) for variable in own}
    if not layer.built and entries is not None:
        yield Skipped(name, NOT_BUILT)
        return set()
    try:
        check_unmodified(layer, entries or ())
    except Unprunable as reason:
        yield Skipped(name, str(reason), _size(layer.weights))
        return None
    taken = yield from _take(position, entries or (), name)
    yield from _left_dense(layer, entries, taken, name)
    return taken


def _entries(layer: Any) -> Sequence[LayerWeight] | None:
    entries = layer_weights("keras", layer)
    return entries_of(layer) if entries is None else entries


def _take(
    position: Position, entries: Sequence[LayerWeight], name: str
) -> Generator[Met, None, set[int]]:
    """Yield the variables of a layer's entries; return their ids."""
    taken: set[int] = set()
    for entry, weight_name in zip(entries, _names(entries, name), strict=True):
        variable = attrgetter(entry.attribute)(position.layer)
        if hasattr(variable, "constraint"):  # older Keras has variables of several classes
            taken.add(id(variable))
            yield Found(weight_name, position.whole, entry, id(variable), variable)
        else:
            own, kind = _own_variables(position.layer), type(variable).__name__
            taken |= {id(one) for one in own}
            reason = f"{entry.attribute} is no keras.Variable, but computed: {kind}"
            yield Skipped(weight_name, reason, _size(own))
    return taken


def _names(entries: Sequence[LayerWeight], name: str) -> Iterator[str]:
    """Yield a name for each entry; entries of equal role get the attribute's own word between."""
    roles = [entry.role for entry in entries]
    for entry in entries:
        word = entry.attribute.removesuffix(f"_{entry.role}").lstrip("_")
        part = f".{word}" if roles.count(entry.role) > 1 else ""
        yield f"{name}{part}:{entry.role}"


def _left_dense(
    layer: Any, entries: Sequence[LayerWeight] | None, taken: set[int], name: str
) -> Iterator[Skipped]:
    rest = [variable for variable in _own_variables(layer) if id(variable) not in taken]
    kind = type(layer).__name__
    if not rest:
        return
    if isinstance(layer, NORMALIZATION_LAYERS):
        statistics = {id(variable) for variable in _statistics(layer)}
        size = _size([variable for variable in rest if id(variable) not in statistics])
        yield Skipped(name, f"{kind}: {NORMALIZATION}", size)
    elif entries is not None:
        for variable in rest:
            if variable.ndim > 1 and "bias" not in variable.name:
                size = _size([variable])
                yield Skipped(f"{name}.{variable.name}", f"{kind}: {NOT_PRUNABLE}", size)
    elif type(layer).__module__.startswith("hgq.quantizer"):
        yield Skipped(name, f"{kind}: {BIT_WIDTHS}", _size(rest))
    elif all(variable.ndim < 2 for variable in rest):
        yield Skipped(name, f"{kind}: {VECTORS}", _size(rest))
    else:
        holds = [variable.name for variable in rest]
        yield Skipped(name, unknown_layer("keras", kind, holds), _size(rest))


def _lacks_weights(layer: Any) -> bool:
    """Return whether a layer is not built, and would get weights of its own by being built."""
    if layer.built:
        return False
    if is_known(layer):
        return True
    return not layer.variables and not children(layer) and _builds_itself(layer)


def _builds_itself(layer: Any) -> bool:
    """Return whether a `build` that is not one of Keras's own may make weights."""
    owner = next(cls for cls in type(layer).__mro__ if "build" in vars(cls))
    return not owner.__module__.startswith("keras.")


def _only_holds_parts(model: Any) -> bool:
    """Return whether a model builds nothing itself, as one of parts that its train_step calls."""
    return isinstance(model, keras.Model) and type(model).build is keras.Model.build


def _check_built(model: Any, unbuilt: Sequence[str], has_weights: bool) -> None:
    parts = not model.built and _only_holds_parts(model) and bool(children(model))
    if not unbuilt and (model.built or parts):
        return
    if model.built and has_weights:
        return
    if parts and has_weights:
        raise ModelError(
            f"{model.name} holds layers that are not built, and have no weights yet: "
            f"{listed(unbuilt, _SHOWN)}. Call each on a batch, or call its build(input_shape); "
            "then attach."
        )
    what = f"its layers are ({listed(unbuilt, _SHOWN)})" if unbuilt else "the model is"
    raise ModelError(
        f"{model.name} has no weights to prune yet: {what} not built. Call it on a batch, "
        "start a Sequential with keras.Input(shape), or call model.build(input_shape); then "
        "attach."
    )
