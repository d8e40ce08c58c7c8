"""Find the prunable weights of a model, and what is left dense and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

import keras

from secateur import layer_weights
from secateur.adapter import LayerWeight, Skipped
from secateur.errors import ModelError
from secateur_keras.layers import NORMALIZATION_LAYERS, Misfit, refusal, rows_of
from secateur_keras.walk import Place, children, own_variables, places_in

NOT_BUILT = "not built: the layer was never called on data, and has no weights yet"


@dataclass(frozen=True)
class Found:
    """A prunable variable, the row that describes it, and its names; the first is its own."""

    variable: Any
    row: LayerWeight
    layer: str
    names: tuple[str, ...]


@dataclass
class _Search:
    paths: dict[str, int] = field(default_factory=dict)
    found: dict[int, Found] = field(default_factory=dict)
    skipped: dict[str, Skipped] = field(default_factory=dict)
    unbuilt: list[str] = field(default_factory=list)

    def skip(self, name: str, reason: str) -> None:
        self.skipped.setdefault(name, Skipped(name, reason))


def find(model: Any) -> tuple[list[Found], list[Skipped]]:
    """Return the prunable variables in the order of the model, each once, and the rest.

    Raises ModelError when weights may be missing, as nothing was called on data yet.
    """
    search = _Search()
    _visit(search, Place("", model, model.name), model.name, frozenset())
    if not model.built and (search.unbuilt or not _is_a_mere_holder(model)):
        raise _not_built(model, "the model is")
    if search.unbuilt and not search.found:
        raise _not_built(model, f"its layers are ({', '.join(search.unbuilt[:5])})")
    return list(search.found.values()), list(search.skipped.values())


def _is_a_mere_holder(model: Any) -> bool:
    """Tell whether a model builds nothing itself, as one of parts that its train_step calls."""
    return isinstance(model, keras.Model) and type(model).build is keras.Model.build


def _not_built(model: Any, what: str) -> ModelError:
    return ModelError(
        f"{model.name} has no weights to prune yet: {what} not built. Call it on a batch, "
        "start a Sequential with keras.Input(shape), or call model.build(input_shape); then "
        "attach."
    )


def _visit(search: _Search, place: Place, name: str, above: frozenset[int]) -> None:
    layer = place.layer
    taken: set[int] = set()
    try:
        rows = _rows(layer)
    except Misfit as misfit:
        rows = ()
        search.skip(name, str(misfit))
        taken = {id(variable) for variable in own_variables(layer)}
    if not layer.built and (rows is not None or not (layer.variables or children(layer))):
        search.unbuilt.append(name)
        search.skip(name, NOT_BUILT)
    elif rows and (reason := refusal(layer, rows)):
        search.skip(name, reason)
        return
    else:
        taken |= _take(search, place, rows or (), name)
        _list_the_rest(search, layer, rows, taken, name)
    for inner in places_in(place, search.paths):
        held = {id(variable) for variable in inner.layer.variables}
        if id(inner.layer) not in above and not held & taken:
            _visit(search, inner, inner.path, above | {id(layer)})


def _rows(layer: Any) -> Sequence[LayerWeight] | None:
    taught = layer_weights("keras", layer)
    return rows_of(layer) if taught is None else taught


def _take(search: _Search, place: Place, rows: Sequence[LayerWeight], name: str) -> set[int]:
    """Add the variables of a layer's rows; return their ids."""
    taken: set[int] = set()
    for row, weight_name in zip(rows, _names(rows, name), strict=True):
        variable = attrgetter(row.attribute)(place.layer)
        if not hasattr(variable, "constraint"):  # older Keras has variables of several classes
            kind = type(variable).__name__
            search.skip(weight_name, f"{row.attribute} is no keras.Variable, but computed: {kind}")
            taken |= {id(one) for one in own_variables(place.layer)}
            continue
        taken.add(id(variable))
        before = search.found.get(id(variable))
        if before is None:
            search.found[id(variable)] = Found(variable, row, place.whole, (weight_name,))
        elif weight_name not in before.names:
            search.found[id(variable)] = replace(before, names=(*before.names, weight_name))
    return taken


def _names(rows: Sequence[LayerWeight], name: str) -> Iterator[str]:
    """Yield a name for each row; rows of equal role get the attribute's own word between."""
    roles = [row.role for row in rows]
    for row in rows:
        word = row.attribute.removesuffix(f"_{row.role}")
        part = f".{word}" if roles.count(row.role) > 1 else ""
        yield f"{name}{part}:{row.role}"


def _list_the_rest(
    search: _Search,
    layer: Any,
    rows: Sequence[LayerWeight] | None,
    taken: set[int],
    name: str,
) -> None:
    rest = [variable for variable in own_variables(layer) if id(variable) not in taken]
    if isinstance(layer, NORMALIZATION_LAYERS):
        if rest:
            search.skip(name, "normalisation parameters are never pruned")
    elif rows is None:
        if rest:
            search.skip(
                name,
                f"{type(layer).__name__} is not known; a plugin can teach it by the hook "
                "secateur_layer_weights",
            )
    else:
        for variable in rest:
            if variable.ndim > 1 and "bias" not in variable.name:
                search.skip(f"{name}.{variable.name}", "not a prunable weight of its layer")
