"""Whether a model passes a layer by, and computes with other values of its weight itself."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import FunctionType
from typing import Any

from torch import nn

from secateur_torch.forward import lookup
from secateur_torch.layers import is_of_torch
from secateur_torch.weight_flow import Method, OtherValues, Scope, trace

_BEFORE_TRAINING = ("__init__", "init", "_init", "reset", "tie", "_tie", "load", "_load", "extra")
"""How methods begin that do not compute."""


def bypass_reasons(cls: type[nn.Module]) -> Mapping[str, str]:
    """Return why layers that a class holds must be left dense, by the attribute that holds them.

    A layer counts as passed by when its weight is used as ``self.layer.weight``, other than
    straight in an operation, and the layer itself is never called or passed on.  Embeddings are
    no matter here: a table of queries or positions is what the model computes on.

    Args:
        cls: The class of a module that holds layers.

    Example:
        >>> class LowRank(nn.Module):
        ...     def forward(self, x):
        ...         return nn.functional.linear(x, self.full.weight + self.b @ self.a)
        >>> list(bypass_reasons(LowRank))
        ['full']

    """
    known: Any = cls
    return {} if is_of_torch(cls) else _reasons(known)


@lru_cache(maxsize=512)
def _reasons(cls: Any) -> Mapping[str, str]:
    functions = list(_functions(cls))
    if not any("weight" in function.__code__.co_names for function in functions):
        return {}
    weights: set[str] = set()
    whole: set[str] = set()
    for function in functions:
        _look(function, weights, whole)
    touches = {layer: _touch(cls, f"{layer}.weight") for layer in sorted(weights - whole)}
    return {
        layer: (
            f"{cls.__name__} does not call it and touches its weight: it {touch}, so other values "
            "may be computed with; a plugin's secateur_layer_weights hook can teach it"
        )
        for layer, touch in touches.items()
        if touch
    }


def _functions(cls: type) -> Iterator[FunctionType]:
    """Yield the methods and properties of a class that may compute."""
    for base in cls.__mro__:
        if is_of_torch(base) or base is object:
            continue
        for name, value in vars(base).items():
            function = value.fget if isinstance(value, property) else value
            if isinstance(function, FunctionType) and not name.startswith(_BEFORE_TRAINING):
                yield inspect.unwrap(function)


def _look(function: FunctionType, weights: set[str], whole: set[str]) -> None:
    """Collect the layers whose weight a method takes, and those that it uses as a whole."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        whole.update(function.__code__.co_names)  # nothing can be told
        return
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    parts = {id(node.value): node for node in attributes}
    for node in attributes:
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            part = parts.get(id(node))
            if part is None:
                whole.add(node.attr)
            elif part.attr == "weight":
                weights.add(node.attr)


def _touch(cls: type[nn.Module], weight: str) -> str | None:
    """Return what the forward of a class does with a weight, if it is not used as it is."""
    forward = lookup(cls)("forward", None)
    if not isinstance(forward, Method):
        return None
    try:
        trace(forward.function, Scope(frozenset((weight,)), lookup(cls)), owner=forward.owner)
    except OtherValues as other:
        return str(other)
    except RecursionError:
        return None
    return None
