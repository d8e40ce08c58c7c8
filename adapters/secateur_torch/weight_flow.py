"""Where a weight goes in the source of a layer's forward: straight into an operation, or not."""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any

import torch

from secateur.adapter import Paths, covers, parameters_of, tree_of
from secateur_torch import operations as ops
from secateur_torch.layers import is_of_torch


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


def trace(
    function: Any, scope: Scope, given: frozenset[str] = frozenset(), owner: type | None = None
) -> Flow:
    """Trace a weight through a function and those that it calls.

    Args:
        function: A Python function.
        scope: What names mean in it.
        given: The parameters that are the weight.
        owner: The class that defines the function; None for one that is no method, in which
            ``x.weight`` is the weight for every name ``x``.

    Returns:
        What it does with the weight.

    Raises:
        OtherValues: The weight goes elsewhere than straight into an operation.

    """
    key = (function, given)
    if key not in scope.traced:
        scope.traced[key] = Flow()  # for a function that calls itself
        scope.traced[key] = _trace(inspect.unwrap(function), scope, given, owner)
    return scope.traced[key]


def _trace(function: Any, scope: Scope, given: frozenset[str], owner: type | None) -> Flow:
    code = function.__code__
    node = tree_of(function)
    if node is None:
        touched = given or scope.weights & set(_names_in(code))
        if touched:
            what = ", ".join(sorted(touched))
            raise OtherValues(f"touches {what}, and its source is not there to be read")
        return Flow(used="super" in code.co_names)
    cells = zip(code.co_freevars, function.__closure__ or (), strict=False)
    names = {**vars(builtins), **function.__globals__}
    for name, cell in cells:
        with suppress(ValueError):  # a cell that is not filled yet
            names[name] = cell.cell_contents
    tracer = _Tracer(scope, names, owner, is_method=owner is not None)
    return tracer.function(node, set(given))


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    yield from (const for const in code.co_consts if isinstance(const, str))
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _names_in(const)


@dataclass
class _Tracer:
    """Traces one function, and those that are defined inside it."""

    scope: Scope
    names: Mapping[str, Any]
    owner: type | None
    is_method: bool
    self_name: str = ""
    flow: Flow = field(default_factory=Flow)
    aliases: set[str] = field(default_factory=set)
    inputs: set[str] = field(default_factory=set)
    inner: dict[str, Any] = field(default_factory=dict)
    results: set[bool] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.paths = Paths(lambda name: name == self.self_name or not self.self_name)

    def function(self, node: Any, given: set[str]) -> Flow:
        parameters = parameters_of(node)
        if self.is_method:
            self.self_name = parameters[0] if parameters else ""
        self.paths.learn(node)
        self.aliases = (self.aliases - set(parameters)) | given
        body = node.body if isinstance(node.body, list) else [ast.Return(node.body)]
        local = {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}
        self.inputs = (self.inputs | local) - {self.self_name} - given
        self._find_inputs(body)
        before = -1
        while len(self.aliases) != before:
            before = len(self.aliases)
            for statement in body:
                self.statement(statement)
        self.flow.returns = True in self.results
        if self.flow.returns and False in self.results and given:
            raise OtherValues("returns weight or something else")
        return self.flow

    def _find_inputs(self, body: Sequence[ast.stmt]) -> None:
        """Add to the inputs every local name whose value depends on one."""
        before = -1
        while len(self.inputs) != before:
            before = len(self.inputs)
            for node in (node for statement in body for node in ast.walk(statement)):
                value = getattr(node, "iter", None) or getattr(node, "value", None)
                targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
                if isinstance(value, ast.expr) and self._from_inputs(value):
                    for target in targets:
                        if isinstance(target, ast.expr):
                            self.inputs |= {
                                each.id
                                for each in ast.walk(target)
                                if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
                            }

    def _from_inputs(self, node: ast.AST) -> bool:
        return any(isinstance(n, ast.Name) and n.id in self.inputs for n in ast.walk(node))

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self.inner[node.name] = node
            self.nested(node, set())
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                self.assign(target, node.value, node)
        elif isinstance(node, ast.AugAssign):
            self.plain(node.target)
            self.plain(node.value)
        elif isinstance(node, ast.Return):
            if node.value is not None:
                self.results.add(self.value(node.value))
        elif isinstance(node, ast.Expr):
            self.value(node.value)
        else:
            for child in ast.iter_child_nodes(node):
                self.part(child)

    def part(self, node: ast.AST) -> None:
        """Trace a part of a compound statement."""
        if isinstance(node, ast.stmt):
            self.statement(node)
        elif isinstance(node, ast.expr):
            self.plain(node)
        else:
            for child in ast.iter_child_nodes(node):
                self.part(child)

    def assign(self, target: ast.expr, value: ast.expr | None, node: ast.stmt) -> None:
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple | ast.List):
            values: Sequence[ast.expr | None] = [value] * len(target.elts)
            if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
                values = value.elts
            pairs = list(zip(target.elts, values, strict=True))
        for name, each in pairs:
            self._bind(name, each is not None and self.value(each), node)

    def _bind(self, target: ast.expr, is_weight: bool, node: ast.stmt) -> None:
        """Note that a target has the weight for its value, or another one."""
        if isinstance(target, ast.Name):
            if is_weight:
                self.aliases.add(target.id)
            elif target.id in self.aliases:
                raise _other(node)
        elif is_weight or self.value(target) or self._inside_weight(target):
            raise _other(node)

    def _inside_weight(self, target: ast.expr) -> bool:
        inner = getattr(target, "value", None)
        return isinstance(inner, ast.expr) and self.value(inner)

    def plain(self, node: ast.expr) -> None:
        """Trace an expression that must not be the weight itself."""
        if self.value(node):
            raise _other(node)

    def value(self, node: ast.expr) -> bool:
        """Trace an expression, and return whether its value is the weight."""
        handler = getattr(self, f"on_{type(node).__name__.lower()}", None)
        if handler is not None:
            return bool(handler(node))
        for child in ast.iter_child_nodes(node):
            self.part(child)
        return False

    def on_name(self, node: ast.Name) -> bool:
        is_weight = node.id in self.aliases
        self.flow.used |= is_weight
        return is_weight

    def on_namedexpr(self, node: ast.NamedExpr) -> bool:
        is_weight = self.value(node.value)
        if is_weight:
            self.aliases.add(node.target.id)
        return is_weight

    def on_attribute(self, node: ast.Attribute) -> bool:
        name = self.paths.of(node)
        if name is not None:
            if self.scope.is_weight(name):
                self.flow.used = True
                return True
            if any(each.startswith(f"{name}.") for each in self.scope.weights):
                self.flow.used = True
            getter = self.scope.method(name, None) if "." not in name else None
            if isinstance(getter, Method) and getter.kind == "property":
                return self.traced(getter.function, frozenset(), getter.owner)
        if not self.value(node.value):
            return False
        if node.attr in ops.VIEWS:
            return True
        if node.attr in ops.FACTS:
            return False
        raise _other(node)

    def on_listcomp(self, node: ast.ListComp | ast.GeneratorExp) -> bool:
        for generator in node.generators:
            self.part(generator)
        return self.value(node.elt)

    on_generatorexp = on_listcomp

    def on_subscript(self, node: ast.Subscript) -> bool:
        self.plain(node.slice)
        return self.value(node.value)

    def on_ifexp(self, node: ast.IfExp) -> bool:
        self.plain(node.test)
        branches = self.value(node.body), self.value(node.orelse)
        if branches in ((True, False), (False, True)):
            raise _other(node)
        return branches[0]

    def on_tuple(self, node: ast.Tuple | ast.List) -> bool:
        parts = [self.value(each) for each in node.elts]  # each must be traced
        return any(parts)

    on_list = on_tuple

    def on_compare(self, node: ast.Compare) -> bool:
        sides = [self.value(each) for each in (node.left, *node.comparators)]
        if any(sides) and not all(isinstance(op, ast.Is | ast.IsNot) for op in node.ops):
            raise _other(node)
        return False

    def on_binop(self, node: ast.BinOp) -> bool:
        sides = self.value(node.left), self.value(node.right)
        if any(sides):
            other = node.right if sides[0] else node.left
            if not isinstance(node.op, ast.MatMult) or all(sides) or not self._from_inputs(other):
                raise _other(node)
        return False

    def on_lambda(self, node: ast.Lambda) -> bool:
        self.nested(node, set())
        return False

    def on_call(self, node: ast.Call) -> bool:
        positions = [index for index, each in enumerate(node.args) if self.value(each)]
        keywords = [each.arg for each in node.keywords if self.value(each.value)]
        touches = bool(positions or keywords)
        if any(isinstance(each, ast.Name) and each.id == self.self_name for each in node.args):
            self.flow.used = True
        func = node.func
        if isinstance(func, ast.Attribute):
            if self._is_weight(func.value):
                return self._method_of_weight(node, func.attr, touches)
            if touches and func.attr in ops.LIKE | ops.PRODUCTS and self._from_inputs(func.value):
                return False
        return self._call_of(node, self._callee(func), positions, keywords)

    def _call_of(
        self, node: ast.Call, found: Any, positions: list[int], keywords: list[Any]
    ) -> bool:
        """Trace a call of what was found, and return whether it gives the weight."""
        touches = bool(positions or keywords)
        if found is getattr:
            return self._getattr(node)
        if found in (isinstance, hasattr) or ops.is_in(found, ops.SHAPES):
            return False
        if found is TORCH:
            self.flow.used |= touches or getattr(node.func, "attr", "") in ops.FORWARDS
            return False
        if isinstance(found, ast.AST):
            return self.nested(found, _given(parameters_of(found), positions, keywords)).returns
        if isinstance(found, Method):
            parameters = _code_parameters(found.function)[found.kind != "static" :]
            given = frozenset(_given(parameters, positions, keywords))
            return self.traced(found.function, given, found.owner)
        if not touches or (positions == [0] and ops.is_in(found, ops.JOINS)):
            return touches
        if isinstance(found, FunctionType) and not is_of_torch(found):
            given = frozenset(_given(_code_parameters(found), positions, keywords))
            return self.traced(found, given, None)
        is_second = ops.is_in(found, ops.SECOND) and self._is_second(node, positions, keywords)
        if not is_second and not (ops.is_in(found, ops.ANY) and self._has_input(node)):
            raise _other(node)
        return False

    def traced(self, function: Any, given: frozenset[str], owner: type | None) -> bool:
        """Trace a function that is called, and return whether it gives the weight."""
        flow = trace(function, self.scope, given, owner)
        self.flow.used |= flow.used
        return flow.returns

    def nested(self, node: Any, given: set[str]) -> Flow:
        """Trace a function that is defined inside this one."""
        tracer = _Tracer(self.scope, self.names, self.owner, False, self.self_name)
        tracer.aliases, tracer.inputs, tracer.inner = set(self.aliases), self.inputs, self.inner
        tracer.paths.names |= self.paths.names
        flow = tracer.function(node, given)
        self.flow.used |= flow.used
        return flow

    def _is_weight(self, node: ast.expr) -> bool:
        """Return whether an expression is the weight, where a class or module may stand, too."""
        return False if self._is_super(node) else self.value(node)

    @staticmethod
    def _is_super(node: ast.expr) -> bool:
        func = node.func if isinstance(node, ast.Call) else None
        return isinstance(func, ast.Name) and func.id == "super"

    def _method_of_weight(self, node: ast.Call, name: str, touches: bool) -> bool:
        if name in ops.FACTS:
            return False
        if name in ops.VIEWS:
            return True
        if name in ops.PRODUCTS and not touches and self._has_input(node):
            return False
        raise _other(node)

    def _is_second(self, node: ast.Call, positions: list[int], keywords: list[Any]) -> bool:
        is_weight = positions == [1] or (not positions and keywords == ["weight"])
        named = [each.value for each in node.keywords if each.arg == "input"]
        return is_weight and any(map(self._from_inputs, [*node.args[:1], *named]))

    def _has_input(self, node: ast.Call) -> bool:
        arguments = [*node.args, *(each.value for each in node.keywords)]
        return any(map(self._from_inputs, arguments))

    def _getattr(self, node: ast.Call) -> bool:
        owner, name = [*node.args, None, None][:2]
        if isinstance(owner, ast.expr) and isinstance(name, ast.Constant):
            return self.on_attribute(ast.Attribute(owner, str(name.value)))
        return False

    def _callee(self, func: ast.expr) -> Any:
        """Return what is called, as far as it can be told."""
        if isinstance(func, ast.Name):
            return self.inner.get(func.id, self.names.get(func.id))
        if not isinstance(func, ast.Attribute):
            self.plain(func)
            return None
        if self._is_super(func.value):
            return self.scope.method(func.attr, self.owner)
        name = self.paths.of(func)
        if name is not None and self.self_name:
            return self.scope.method(name, None) if "." not in name else None
        found, owner = self._resolved(func), self._resolved(func.value)
        if isinstance(owner, type) and issubclass(owner, torch.nn.Module) and is_of_torch(found):
            return TORCH  # nn.Linear.forward(self, x)
        return found

    def _resolved(self, node: ast.expr) -> Any:
        """Return the global object that a dotted name means, or None."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Attribute):
            return getattr(self._resolved(node.value), node.attr, None)
        return None


def _code_parameters(function: Any) -> list[str]:
    code = inspect.unwrap(function).__code__
    return list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def _given(
    parameters: Sequence[str], positions: Sequence[int], keywords: Sequence[Any]
) -> set[str]:
    """Return the parameters to which a call gives the weight."""
    if any(index >= len(parameters) for index in positions) or set(keywords) - set(parameters):
        raise OtherValues("passes weight on by * or **")
    return {parameters[index] for index in positions} | set(keywords)


def _other(node: ast.AST) -> OtherValues:
    return OtherValues(f"has `{ast.unparse(node)[:60]}`")
