"""Whether a class below a known layer still computes with the weight as it is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from types import FunctionType, MethodType
from typing import Any

from torch import nn

from secateur_torch.layers import is_of_torch, table_class
from secateur_torch.weight_flow.calls import trace
from secateur_torch.weight_flow.scope import TORCH, Flow, Method, OtherValues, Scope

_ENTRANCES = ("__call__", "forward", "_conv_forward")
"""The methods by which a layer computes."""


def other_values_reason(
    module: nn.Module, cls: type[nn.Module], attributes: Iterable[str]
) -> str | None:
    """Return why a layer may compute with other values than those of its weights, or None.

    A class that derives from a known layer may have a `forward` of its own.  Where that passes
    the weight straight to an operation, as padded convolutions do, the layer is as good as
    its base; where it does anything else with it, zeros in the weight need not be zeros in what
    the layer computes with.

    Args:
        module: The layer.
        cls: Its class, without what FSDP and parametrizations make of it.
        attributes: The attributes that are its weights.

    Example:
        >>> class Scaled(nn.Linear):
        ...     def forward(self, x):
        ...         return nn.functional.linear(x, self.weight * 0.5, self.bias)
        >>> other_values_reason(Scaled(2, 2), Scaled, ["weight"])
        "overrides forward() and touches weight..."

    """
    weights = frozenset(attributes)
    if table_class(cls) is None:
        return None
    if isinstance(module, nn.RNNBase):
        weights |= {"_flat_weights", "all_weights"}  # lists of the same parameters
    known: Any = cls  # a class can be hashed, whatever a checker of types makes of Module
    return _of_class(known, weights) or _of_instance(module, cls, weights)


@lru_cache(maxsize=512)
def _of_class(cls: Any, weights: frozenset[str]) -> str | None:
    for name in _ENTRANCES:
        found = _method(cls, name, None)
        if isinstance(found, Method):
            given = frozenset(_weight_parameters(found.function) if name == "_conv_forward" else ())
            reason = _reason(name, weights, cls, found.function, given, found.owner)
            if reason:
                return reason
    return None


def _of_instance(module: nn.Module, cls: type[nn.Module], weights: frozenset[str]) -> str | None:
    """Look at a forward that was set on the layer itself."""
    own = vars(module).get("forward")
    if isinstance(own, MethodType) and isinstance(own.__func__, FunctionType):
        return _reason("forward", weights, cls, own.__func__, frozenset(), cls)
    if isinstance(own, FunctionType):
        return _reason("forward", weights, cls, own, frozenset(), None)
    return None  # such as the partial by which accelerate moves inputs to a device


def _reason(
    name: str,
    weights: frozenset[str],
    cls: type[nn.Module],
    function: Any,
    given: frozenset[str],
    owner: type | None,
) -> str | None:
    if is_of_torch(function):
        return None
    scope = Scope(weights, lookup(cls))
    what = ", ".join(sorted(weights)[:3])
    try:
        flow: Flow = trace(function, scope, given, owner)
    except OtherValues as other:
        touch = f"touches {what}: it {other}"
    except RecursionError:
        touch = f"touches {what} in code that is too deep to be read"
    else:
        if flow.used:
            return None
        touch = f"does not use {what}"
    return (
        f"overrides {name}() and {touch}, so the layer may compute with other values; "
        "a plugin's secateur_layer_weights hook can teach it"
    )


def _weight_parameters(function: FunctionType) -> list[str]:
    return [name for name in ("weight",) if name in function.__code__.co_varnames]


def lookup(cls: type[nn.Module]) -> Callable[[str, type | None], object]:
    """Return what finds the methods of a class, for a `Scope`."""
    return lambda name, below: _method(cls, name, below)


def _method(cls: type[nn.Module], name: str, below: type | None) -> object:
    """Return the method of a name that a class has, or that `super()` in a class finds."""
    bases = list(cls.__mro__)
    if below in bases:
        bases = bases[bases.index(below) + 1 :]
    owner = next((base for base in bases if name in vars(base)), None)
    if owner is None:
        return None
    found = vars(owner)[name]
    if is_of_torch(owner):
        return TORCH if callable(found) else None
    if isinstance(found, property) and isinstance(found.fget, FunctionType):
        return Method(found.fget, owner, "property")
    if isinstance(found, staticmethod):
        found, kind = found.__func__, "static"
    else:
        kind = "method"
    return Method(found, owner, kind) if isinstance(found, FunctionType) else None
