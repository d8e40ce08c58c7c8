"""Which part of a layer an expression in its source means, such as ``self.blocks[0].weight``."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

ANY_PART = "*"
"""Stands in a path for an index or a key that the source does not tell."""
_EACH = ("values", "children", "modules")
"""Methods of a container of layers that yield its layers."""


def tree_of(function: Any) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None:
    """Return the syntax tree of a function, or None where its source is not there.

    Args:
        function: A Python function.

    Example:
        >>> tree_of(tree_of).name, tree_of(len)
        ('tree_of', None)

    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    return next((node for node in ast.walk(tree) if isinstance(node, kinds)), None)


def parameters_of(node: Any) -> list[str]:
    """Return the names of the parameters of a function, given its tree.

    Args:
        node: The tree of a function.

    Example:
        >>> parameters_of(tree_of(parameters_of))
        ['node']

    """
    plain = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return [each.arg for each in plain]


def covers(pattern: str, path: str) -> bool:
    """Return whether two paths may mean the same part.

    Args:
        pattern: A path.
        path: Another one.

    Example:
        >>> covers("blocks.*.weight", "blocks.0.weight"), covers("fc.weight", "fc.bias")
        (True, False)

    """
    one, other = pattern.split("."), path.split(".")
    return len(one) == len(other) and all(
        a == b or ANY_PART in (a, b) for a, b in zip(one, other, strict=True)
    )


def below(reasons: Mapping[str, str], key: str) -> dict[str, str]:
    """Return the entries for what lies in a part, by their paths from that part.

    Args:
        reasons: Values by path.
        key: The first word of the paths.

    Example:
        >>> below({"blocks.0": "a", "head": "b", "*": "c"}, "head")
        {'': 'c'}

    """
    heads = ((path.partition("."), reason) for path, reason in reasons.items())
    return {rest: reason for (head, _, rest), reason in heads if head in (key, ANY_PART)}


@dataclass
class Paths:
    """The paths from a layer to what expressions in one of its methods mean.

    Attributes:
        is_layer: Returns whether a name is the layer, as ``self`` is.
        names: Local names of parts of the layer, by their paths.

    Example:
        >>> paths = Paths(lambda name: name == "self")
        >>> paths.of(ast.parse("self.blocks[0].weight", mode="eval").body)
        'blocks.0.weight'

    """

    is_layer: Callable[[str], bool]
    names: dict[str, str] = field(default_factory=dict)

    def of(self, node: ast.AST | None) -> str | None:
        """Return the dotted path of an expression, empty for the layer; None for anything else.

        Args:
            node: The expression.

        """
        path: list[str] = []
        while isinstance(node, ast.Attribute | ast.Subscript):
            path.insert(0, node.attr if isinstance(node, ast.Attribute) else _key(node.slice))
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        if node.id in self.names:
            return ".".join((self.names[node.id], *path))
        return ".".join(path) if self.is_layer(node.id) else None

    def learn(self, tree: ast.AST) -> None:
        """Learn which local names in a function are parts of the layer.

        Args:
            tree: The function.

        """
        before = -1
        while len(self.names) != before:
            before = len(self.names)
            for target, path in self._named(tree):
                if isinstance(target, ast.Name) and path and not self.is_layer(target.id):
                    self.names.setdefault(target.id, path)

    def _named(self, tree: ast.AST) -> Iterator[tuple[ast.expr, str | None]]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                yield node.targets[0], self.of(node.value)
            elif isinstance(node, ast.For | ast.comprehension):
                yield from self._iterated(node.target, node.iter)

    def _iterated(self, target: ast.expr, over: ast.expr) -> Iterator[tuple[ast.expr, str | None]]:
        """Yield the target of a loop with the path of each of the layers in a container."""
        if isinstance(over, ast.Call) and isinstance(over.func, ast.Name):
            is_pair = isinstance(target, ast.Tuple) and len(target.elts) == 2
            if over.func.id == "enumerate" and over.args and is_pair:
                yield from self._iterated(target.elts[1], over.args[0])  # type: ignore[attr-defined]
        elif isinstance(over, ast.Call) and isinstance(over.func, ast.Attribute):
            if over.func.attr in _EACH:
                yield from self._iterated(target, over.func.value)
        elif path := self.of(over):
            yield target, f"{path}.{ANY_PART}"


def _key(node: ast.expr) -> str:
    is_plain = isinstance(node, ast.Constant) and isinstance(node.value, int | str)
    return str(node.value) if is_plain else ANY_PART  # type: ignore[attr-defined]
