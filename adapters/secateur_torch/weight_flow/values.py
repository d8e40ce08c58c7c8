"""A weight in the statements and expressions of one function: the names that hold it."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from secateur.adapter import Paths, parameters_of
from secateur_torch import operations as ops
from secateur_torch.weight_flow.scope import Flow, Method, OtherValues, Scope, other_values


@dataclass
class ValueTracer(ABC):
    """Traces statements and expressions of one function, and which local names hold an input."""

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
                raise other_values(node)
        elif is_weight or self.value(target) or self._inside_weight(target):
            raise other_values(node)

    def _inside_weight(self, target: ast.expr) -> bool:
        inner = getattr(target, "value", None)
        return isinstance(inner, ast.expr) and self.value(inner)

    def plain(self, node: ast.expr) -> None:
        """Trace an expression that must not be the weight itself."""
        if self.value(node):
            raise other_values(node)

    def value(self, node: ast.expr) -> bool:
        """Trace an expression, and return whether its value is the weight."""
        handler = getattr(self, f"on_{type(node).__name__.lower()}", None)
        if handler is not None:
            return bool(handler(node))
        for child in ast.iter_child_nodes(node):
            self.part(child)
        return False

    @abstractmethod
    def on_call(self, node: ast.Call) -> bool:
        """Trace a call, and return whether it gives the weight."""

    @abstractmethod
    def traced(self, function: Any, given: frozenset[str], owner: type | None) -> bool:
        """Trace a function that is called, and return whether it gives the weight."""

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
        raise other_values(node)

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
            raise other_values(node)
        return branches[0]

    def on_tuple(self, node: ast.Tuple | ast.List) -> bool:
        parts = [self.value(each) for each in node.elts]  # each must be traced
        return any(parts)

    on_list = on_tuple

    def on_compare(self, node: ast.Compare) -> bool:
        sides = [self.value(each) for each in (node.left, *node.comparators)]
        if any(sides) and not all(isinstance(op, ast.Is | ast.IsNot) for op in node.ops):
            raise other_values(node)
        return False

    def on_binop(self, node: ast.BinOp) -> bool:
        sides = self.value(node.left), self.value(node.right)
        if any(sides):
            other = node.right if sides[0] else node.left
            if not isinstance(node.op, ast.MatMult) or all(sides) or not self._from_inputs(other):
                raise other_values(node)
        return False

    def on_lambda(self, node: ast.Lambda) -> bool:
        self.nested(node, set())
        return False

    def nested(self, node: Any, given: set[str]) -> Flow:
        """Trace a function that is defined inside this one."""
        tracer = type(self)(self.scope, self.names, self.owner, False, self.self_name)
        tracer.aliases, tracer.inputs, tracer.inner = set(self.aliases), self.inputs, self.inner
        tracer.paths.names |= self.paths.names
        flow = tracer.function(node, given)
        self.flow.used |= flow.used
        return flow
