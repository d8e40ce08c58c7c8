"""A weight that goes into a call: of an operation, a method of the layer, or anything else."""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import CodeType, FunctionType
from typing import Any

import torch

from secateur.adapter import parameters_of, tree_of
from secateur_torch import operations as ops
from secateur_torch.layers import is_of_torch
from secateur_torch.weight_flow.scope import TORCH, Flow, Method, OtherValues, Scope, other_values
from secateur_torch.weight_flow.values import ValueTracer


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


class _Tracer(ValueTracer):
    """Traces one function, and those that are defined inside it."""

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
            raise other_values(node)
        return False

    def traced(self, function: Any, given: frozenset[str], owner: type | None) -> bool:
        """Trace a function that is called, and return whether it gives the weight."""
        flow = trace(function, self.scope, given, owner)
        self.flow.used |= flow.used
        return flow.returns

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
        raise other_values(node)

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
