"""A walk over the layers of a model, with the names that users see in plans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from flax import nnx

from secateur import layer_weights
from secateur.adapter import FLOATS, LayerWeight, Skipped
from secateur_flax.layers import NORMALIZATION_LAYERS, Stacked, rows_of
from secateur_flax.weight import variables


class Found(NamedTuple):
    """A prunable weight: its name, its layer's, where it is kept, and what it is."""

    name: str
    path: str
    layer: nnx.Module
    row: LayerWeight


def walk(
    module: nnx.Module, path: tuple[str, ...] = (), above: frozenset[int] = frozenset()
) -> Iterator[Found | Skipped]:
    """Go through the layers in the order of definition; a shared one is met by each path."""
    name, cls = ".".join(path) or type(module).__name__, type(module).__name__
    rows: Sequence[LayerWeight] | str | None = layer_weights("flax", module)
    if rows is None:
        rows = rows_of(module)
    if isinstance(rows, str):
        yield Skipped(name, f"{cls}: {rows}")
        return
    for row in rows or ():
        if reason := _refusal(module, row):
            yield Skipped(f"{name}:{row.role}", f"{cls}: {reason}")
        else:
            yield Found(f"{name}:{row.role}", name, module, row)
    claimed = {place.split(".")[0] for row in rows or () for place in places(row)}
    yield from _the_rest(module, name, claimed, known=rows is not None)
    for key, child in _children(module):
        if key not in claimed and id(child) not in above:
            yield from walk(child, (*path, key), above | {id(module)})


def places(row: LayerWeight) -> tuple[str, ...]:
    """Return the attributes that a weight is kept in."""
    return row.attributes if isinstance(row, Stacked) else (row.attribute,)


def _refusal(module: nnx.Module, row: LayerWeight) -> str | None:
    for place, variable in zip(places(row), variables(module, places(row)), strict=True):
        if not isinstance(variable, nnx.Variable):
            return f"{place} is a {type(variable).__name__}, not an nnx.Variable"
        if variable.dtype.name not in FLOATS:
            return f"{place} is {variable.dtype.name}; prune before quantizing"
    return None


def _the_rest(
    module: nnx.Module, name: str, claimed: set[str], *, known: bool
) -> Iterator[Skipped]:
    own = {key: value for key, value in _attributes(module) if isinstance(value, nnx.Param)}
    cls = type(module).__name__
    if known:
        for key, value in own.items():
            if key not in claimed and value.ndim > 1 and key != "bias":
                yield Skipped(f"{name}.{key}", f"{cls}: not a prunable weight of its layer")
    elif own and isinstance(module, NORMALIZATION_LAYERS):
        yield Skipped(name, f"{cls}: parameters of normalisation are never pruned")
    elif own:
        yield Skipped(
            name,
            f"{cls}: not a layer that the flax adapter knows (it holds {', '.join(own)}); a "
            "plugin's secateur_layer_weights hook can teach it",
        )


def _children(module: nnx.Module) -> Iterator[tuple[str, nnx.Module]]:
    for key, value in _attributes(module):
        if isinstance(value, nnx.Module):
            yield key, value
        elif isinstance(value, list | tuple | dict):
            pairs: Any = value.items() if isinstance(value, dict) else enumerate(value)
            yield from ((f"{key}.{at}", v) for at, v in pairs if isinstance(v, nnx.Module))


def _attributes(module: nnx.Module) -> list[tuple[str, Any]]:
    """Return the attributes as `__init__` set them; nnx.merge sorts them by the alphabet."""
    order = [*getattr(module, "_pytree__nodes", ()), *vars(module)]
    return sorted(vars(module).items(), key=lambda attribute: order.index(attribute[0]))
