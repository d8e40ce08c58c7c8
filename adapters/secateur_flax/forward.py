"""Whether a class below a known layer may compute with other values than its weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import CodeType, FunctionType

from flax import nnx

from secateur.adapter import LayerWeight
from secateur_flax.layers import attributes_of, table_class


def other_values_reason(layer: nnx.Module, entries: Sequence[LayerWeight]) -> str | None:
    """Return why a layer may compute with other values than those of its weights, or None.

    A class that derives from a known layer may have a `__call__` of its own.  Where that leaves
    the weight to the known layer, it is as good as that one; where it touches the weight
    itself, zeros in the weight need not be zeros in what the layer computes with.

    Args:
        layer: The layer.
        entries: The entries of the table that describe its weights.

    Example:
        >>> class Scaled(nnx.Linear):
        ...     def __call__(self, x):
        ...         return x @ (self.kernel * 0.5)
        >>> layer = Scaled(2, 2, rngs=nnx.Rngs(0))
        >>> other_values_reason(layer, [LayerWeight("kernel", "dense")])
        "overrides __call__() and touches kernel, so the layer may compute with other ..."

    """
    weights = {key.rpartition(".")[2] for entry in entries for key in attributes_of(entry)}
    touched = sorted(weights & set(_names(type(layer), "__call__", set())))
    if not touched:
        return None
    return (
        f"overrides __call__() and touches {', '.join(touched)}, so the layer may compute with "
        "other values; a plugin's secateur_layer_weights hook can teach it"
    )


def _names(cls: type, method: str, seen: set[str]) -> Iterator[str]:
    """Yield the names that a user's method uses, and those that it calls use."""
    known = table_class(cls)
    users = cls.__mro__[: cls.__mro__.index(known)] if known is not None else ()
    seen.add(method)
    for owner in users:
        function = _function(vars(owner).get(method))
        if function is None:
            continue
        for name in _used(function.__code__):
            yield name
            if name not in seen:
                yield from _names(cls, name, seen)


def _function(found: object) -> FunctionType | None:
    if isinstance(found, property):
        found = found.fget
    found = getattr(found, "__wrapped__", found)
    return found if isinstance(found, FunctionType) else None


def _used(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _used(constant)
