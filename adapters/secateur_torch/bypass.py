"""Whether a model passes a layer by, and computes with other values of its weight itself."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from torch import nn

from secateur_torch.forward import lookup
from secateur_torch.layers import is_of_torch
from secateur_torch.operations import FORWARDS
from secateur_torch.source_paths import Paths, covers, parameters_of, tree_of
from secateur_torch.weight_flow import Method, OtherValues, Scope, trace

_BEFORE_TRAINING = ("__init__", "init", "_init", "reset", "tie", "_tie", "load", "_load", "extra")
"""How methods begin that do not compute."""


def bypass_reasons(cls: type[nn.Module]) -> Mapping[str, str]:
    """Return why layers that a class holds must be left dense, by their paths from it.

    A layer counts as passed by when its weight is used as ``self.layer.weight``, other than
    straight in an operation, and the layer itself is never called or passed on.  In a path, ``*``
    stands for each layer of a container, as in ``for layer in self.layers``.  Embeddings are
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
    if not any(_mentions_weight(function.__code__) for function in functions):
        return {}
    uses = _Uses()
    for function in functions:
        uses.look(function)
    touches = {layer: _touch(cls, f"{layer}.weight") for layer in sorted(uses.passed_by())}
    return {
        layer: (
            f"{cls.__name__} does not call it and touches its weight: it {touch}, so other values "
            "may be computed with; a plugin's secateur_layer_weights hook can teach it"
        )
        for layer, touch in touches.items()
        if touch
    }


def _mentions_weight(code: CodeType) -> bool:
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    names = (*code.co_names, *code.co_consts)
    return "weight" in names or any(map(_mentions_weight, inner))


def _functions(cls: type) -> Iterator[FunctionType]:
    """Yield the methods and properties of a class that may compute."""
    for base in cls.__mro__:
        if is_of_torch(base) or base is object:
            continue
        for name, value in vars(base).items():
            function = value.fget if isinstance(value, property) else value
            if isinstance(function, FunctionType) and not name.startswith(_BEFORE_TRAINING):
                yield inspect.unwrap(function)


@dataclass
class _Uses(ast.NodeVisitor):
    """How the methods of a class use the layers that it holds.

    Attributes:
        weights: The paths of layers whose weight is taken.
        whole: The paths of what is called or passed on.

    """

    weights: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)

    def look(self, function: FunctionType) -> None:
        """Look at one method."""
        tree = tree_of(function)
        if tree is None:
            self.whole.update(function.__code__.co_names)  # nothing can be told
            return
        this = next(iter(parameters_of(tree)), "self")
        self._paths = Paths(lambda name: name == this)
        self._paths.learn(tree)
        self.visit(tree)

    def passed_by(self) -> set[str]:
        """Return the layers whose weight is taken, and that are never used as a whole."""
        return {layer for layer in self.weights if not self._is_used(layer)}

    def _is_used(self, layer: str) -> bool:
        parts = layer.split(".")
        holders = {".".join(parts[: end + 1]) for end in range(len(parts))}
        return any(covers(each, holder) for each in self.whole for holder in holders)

    def visit_Assign(self, node: ast.Assign) -> None:
        if not self._is_named_only(node.targets[0], node.value):
            self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        for child in (*node.body, *node.orelse):
            self.visit(child)
        self._visit_iterable(node.target, node.iter)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for child in node.ifs:
            self.visit(child)
        self._visit_iterable(node.target, node.iter)

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        layer = self._paths.of(node.args[0]) if node.args else None
        if layer and name == "getattr" and _is_word(node.args[1:2], "weight"):
            self.weights.add(layer)
        elif layer and name in ("functional_call", "len"):
            self._visit_all(node.args[1:])
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self._use(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._use(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.visit(node.slice)
        self._use(node)

    def _use(self, node: ast.Name | ast.Attribute | ast.Subscript) -> None:
        path = self._paths.of(node)
        if path is None:
            self.generic_visit(node)
        elif path:
            *layer, last = path.split(".")
            if "weight" in layer or last == "weight":
                parts = path.split(".")
                self.weights.add(".".join(parts[: parts.index("weight")]))
            else:
                self.whole.add(".".join(layer) if last in FORWARDS else path)

    def _is_named_only(self, target: ast.expr, value: ast.expr) -> bool:
        """Return whether a part of the layer gets a local name, and nothing else happens."""
        path = self._paths.of(value)
        is_known = isinstance(target, ast.Name) and target.id in self._paths.names
        return bool(path) and is_known and "weight" not in str(path).split(".")

    def _visit_iterable(self, target: ast.expr, over: ast.expr) -> None:
        names = {each.id for each in ast.walk(target) if isinstance(each, ast.Name)}
        if not names & self._paths.names.keys():
            self.visit(over)

    def _visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)


def _is_word(nodes: Sequence[ast.expr], word: str) -> bool:
    return any(isinstance(each, ast.Constant) and each.value == word for each in nodes)


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
