"""What names mean in a layer's methods, and what a method does with a weight."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType

from secateur.adapter import covers


class OtherValues(Exception):  # noqa: N818 - not an error: what a layer does with its weight
    """A layer may compute with other values than those of its weight; the message says where."""


@dataclass(frozen=True)
class Method:
    """A function that a class defines, outside torch itself.

    Attributes:
        function: The function.
        owner: The class.
        kind: ``method``, ``static`` or ``property``.

    """

    function: FunctionType
    owner: type
    kind: str = "method"


TORCH = object()
"""Stands for a method of torch itself, which uses the weight as it is."""


@dataclass
class Flow:
    """What a function does with a weight.

    Attributes:
        used: Whether the weight, or the layer itself, goes into an operation.
        returns: Whether the function returns the weight.

    """

    used: bool = False
    returns: bool = False


@dataclass(frozen=True)
class Scope:
    """What the names in a layer's methods mean.

    Attributes:
        weights: The attributes that are weights, such as ``weight``.
        method: Returns the `Method` of a name of the layer, or of ``super().name`` in a class;
            `TORCH` for one of torch itself, None for anything else.
        traced: What was found already, by function and weight parameters.

    """

    weights: frozenset[str]
    method: Callable[[str, type | None], object]
    traced: dict[object, Flow] = field(default_factory=dict)

    def is_weight(self, path: str) -> bool:
        """Return whether the path of an attribute is that of a weight."""
        return path in self.weights or any(covers(each, path) for each in self.weights)


def other_values(node: ast.AST) -> OtherValues:
    """Return the error that quotes where a layer may compute with other values."""
    return OtherValues(f"has `{ast.unparse(node)[:60]}`")
