"""Whether a class below a known layer may compute with other values than its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from flax import nnx

from secateur.adapter import LayerWeight, bypassed_layers
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


def bypass_reasons(cls: type[nnx.Module]) -> Mapping[str, str]:
    """Return why layers that a class holds must be left dense, by their paths from it.

    A layer is passed by when ``self.layer.kernel`` is taken, and the layer itself is never called
    or passed on: what is computed from its kernel need not have the kernel's zeros.

    Args:
        cls: The class of a module that holds layers.

    Example:
        >>> class LowRank(nnx.Module):
        ...     def __call__(self, x):
        ...         return x @ (self.full.kernel + self.a @ self.b)
        >>> list(bypass_reasons(LowRank))
        ['full']

    """
    known: Any = cls
    return _bypass_reasons(known)


@lru_cache(maxsize=512)
def _bypass_reasons(cls: Any) -> Mapping[str, str]:
    own = [base for base in cls.__mro__ if not _is_of_flax(base)]
    if not any("__call__" in vars(base) for base in own):
        return {}  # it holds layers for code elsewhere
    passed_by = sorted(bypassed_layers(cls, "kernel", ("__call__",), _is_of_flax))
    reason = (
        f"{cls.__name__} does not call it and takes its kernel, so other values may be computed "
        "with; a plugin's secateur_layer_weights hook can teach it"
    )
    return dict.fromkeys(passed_by, reason)


def _is_of_flax(cls: type) -> bool:
    return cls.__module__.startswith("flax.")


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
