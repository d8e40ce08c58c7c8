"""How a class uses the layers that it holds: whether it calls them, or takes their weights."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import CodeType, FunctionType

from secateur.adapter.source_paths import Paths, covers, parameters_of, tree_of

_BEFORE_TRAINING = ("__init__", "init", "_init", "reset", "tie", "_tie", "load", "_load", "extra")
"""How methods begin that do not compute."""


def bypassed_layers(
    cls: type, attribute: str, calls: Collection[str], is_library: Callable[[type], bool]
) -> set[str]:
    """Return the layers whose weight a class takes, and that it never uses as a whole.

    Args:
        cls: The class of what holds the layers.
        attribute: The attribute by which a layer keeps its weight.
        calls: The methods by which a layer computes.
        is_library: Returns whether a base of the class is of the framework itself.

    Returns:
        The paths of the layers, from what holds them; see `Paths`.

    Example:
        >>> bypassed_layers(int, "kernel", ["__call__"], lambda cls: True)
        set()

    """
    bases = [base for base in cls.__mro__ if base is not object and not is_library(base)]
    functions = [each for base in bases for each in _functions(base)]
    if not any(_mentions(function.__code__, attribute) for function in functions):
        return set()
    uses = _Uses(attribute, calls)
    for function in functions:
        uses.look(function)
    return uses.passed_by()


@dataclass
class _Uses(ast.NodeVisitor):
    """How the methods of a class use the layers that it holds, by their source.

    Attributes:
        attribute: The attribute by which a layer keeps its weight.
        calls: The methods by which a layer computes.
        weights: The paths of layers whose weight is taken.
        whole: The paths of what is called or passed on.

    """

    attribute: str
    calls: Collection[str]
    weights: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)

    def look(self, function: FunctionType) -> None:
        """Look at one method.

        Args:
            function: The method.

        """
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
        if layer and name == "getattr" and _is_word(node.args[1:2], self.attribute):
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
            if self.attribute in (*layer, last):
                parts = path.split(".")
                self.weights.add(".".join(parts[: parts.index(self.attribute)]))
            else:
                self.whole.add(".".join(layer) if last in self.calls else path)

    def _is_named_only(self, target: ast.expr, value: ast.expr) -> bool:
        """Return whether a part of the layer gets a local name, and nothing else happens."""
        path = self._paths.of(value)
        is_known = isinstance(target, ast.Name) and target.id in self._paths.names
        return bool(path) and is_known and self.attribute not in str(path).split(".")

    def _visit_iterable(self, target: ast.expr, over: ast.expr) -> None:
        names = {each.id for each in ast.walk(target) if isinstance(each, ast.Name)}
        if not names & self._paths.names.keys():
            self.visit(over)

    def _visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)


def _is_word(nodes: Sequence[ast.expr], word: str) -> bool:
    return any(isinstance(each, ast.Constant) and each.value == word for each in nodes)


def _functions(cls: type) -> Iterator[FunctionType]:
    """Yield the methods and properties that a class itself defines and that may compute."""
    for name, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else value
        if isinstance(function, FunctionType) and not name.startswith(_BEFORE_TRAINING):
            yield inspect.unwrap(function)


def _mentions(code: CodeType, attribute: str) -> bool:
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return attribute in (*code.co_names, *code.co_consts) or any(
        _mentions(each, attribute) for each in inner
    )
