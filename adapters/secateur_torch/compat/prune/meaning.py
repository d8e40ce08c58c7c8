"""The policy that the calls on a model mean, where they mean one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from glob import escape
from math import prod
from typing import Any

import numpy as np
from torch import Tensor, nn

from secateur import Policy, keep_count, kind_named
from secateur.errors import PolicyError
from secateur_torch.binding import bind
from secateur_torch.compat.prune.globally import GlobalCall
from secateur_torch.compat.prune.method import BasePruningMethod, PruningContainer
from secateur_torch.compat.prune.methods import (
    CustomFromMask,
    Identity,
    L1Unstructured,
    LnStructured,
    RandomStructured,
    RandomUnstructured,
)
from secateur_torch.weight import TorchWeight

_SHOWN = 8
_CRITERIA: dict[type[Any], str] = {
    L1Unstructured: "magnitude",
    RandomUnstructured: "random",
    LnStructured: "magnitude",
    RandomStructured: "random",
}


class NoMeaningError(Exception):
    """The calls on a parameter have no counterpart in a policy."""


@dataclass(frozen=True)
class _Pruned:
    """A parameter that is pruned.

    Attributes:
        path: Its name in the model.
        mask: Its mask.
        methods: The methods that made it, but for those that prune nothing.
        weights: The weights that it is, in the words of plans.

    """

    path: str
    mask: Tensor
    methods: tuple[Any, ...]
    weights: tuple[TorchWeight, ...]


def to_policy(model: nn.Module, path: str | os.PathLike[str] | None = None) -> Policy:
    """Return the policy that the calls on a model mean, and write it to a file.

    On the weights as they were before the calls, without training between them,
    `secateur.prune` makes the same masks by it, where the calls went by magnitude. Chance has
    other numbers there.

    Args:
        model: The model, pruned by the functions of this package.
        path: The new file, .toml, .yaml or .json; None writes none.

    Returns:
        The policy: print it, or go on from it.

    Raises:
        PolicyError: Nothing is pruned, or some calls have no counterpart: the message names
            the parameters, and why.

    Example:
        >>> from secateur_torch.compat import prune
        >>> net = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> for layer in (net[0], net[2]):
        ...     layer = prune.l1_unstructured(layer, "weight", amount=0.25)
        >>> prune.to_policy(net).to_dict()["rules"][0]["match"]
        {'name': ['0:kernel', '2:kernel']}

    """
    pruned = list(_pruned(model))
    if not pruned:
        raise PolicyError("nothing in this model is pruned by secateur_torch.compat.prune")
    tables: list[dict[str, Any]] = []
    problems: list[str] = []
    for group in _groups(pruned):
        try:
            _add(tables, _rule(group))
        except NoMeaningError as why:
            problems.append(f"{group[0].path} {why}")
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise PolicyError(
            f"these calls have no one meaning as a policy: {'; '.join(problems[:_SHOWN])}{more}"
        )
    policy = Policy.parse({"rules": tables})
    if path is not None:
        policy.dump(path)
    return policy


def _pruned(model: nn.Module) -> Iterator[_Pruned]:
    weights: dict[int, list[TorchWeight]] = {}
    for weight in bind(model).weights:
        weights.setdefault(id(weight.slot.parameter), []).append(weight)
    for path, module in model.named_modules():
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, BasePruningMethod):
                name = hook._tensor_name
                several = hook if isinstance(hook, PruningContainer) else (hook,)
                methods = tuple(method for method in several if not isinstance(method, Identity))
                if methods:
                    full = f"{path}.{name}" if path else name
                    mask = getattr(module, f"{name}_mask")
                    own = tuple(weights.get(id(module._parameters[name]), ()))
                    yield _Pruned(full, mask, methods, own)


def _groups(pruned: Sequence[_Pruned]) -> list[list[_Pruned]]:
    """Return the parameters that were pruned by the same global calls together; others alone."""
    groups: dict[object, list[_Pruned]] = {}
    for each in pruned:
        calls = [_call(method) for method in each.methods]
        key = tuple(map(id, calls)) if calls[0] is not None else each.path
        groups.setdefault(key, []).append(each)
    return list(groups.values())


def _call(method: Any) -> GlobalCall | None:
    call = method.call if isinstance(method, CustomFromMask) else None
    return call if isinstance(call, GlobalCall) else None


def _rule(group: Sequence[_Pruned]) -> dict[str, Any]:
    """Return the rule that a group of parameters means.

    Raises:
        NoMeaningError: There is none.

    """
    for each in group:
        if not each.weights:
            raise NoMeaningError("is no weight that policies prune, such as a bias or a norm")
    first = group[0]
    calls = [_call(method) for method in first.methods]
    methods = [
        call.method if call else method for call, method in zip(calls, first.methods, strict=True)
    ]
    kinds = {type(method) for method in methods}
    if len(kinds) > 1 or len({call is None for call in calls}) > 1:
        names = ", then ".join(type(method).__name__ for method in methods)
        raise NoMeaningError(f"was pruned in several ways: {names}")
    if not kinds & _CRITERIA.keys():
        raise NoMeaningError(f"was pruned by {type(methods[0]).__name__}")
    if any(call and call.size != sum(each.mask.numel() for each in group) for call in calls):
        raise NoMeaningError(
            "was pruned with parameters that are not in this model, or not any more"
        )
    if any(each.scored for each in (*first.methods, *filter(None, calls))):
        raise NoMeaningError("was pruned by scores of your own")
    return _table(group, methods, is_global=calls[0] is not None)


def _table(group: Sequence[_Pruned], methods: Sequence[Any], *, is_global: bool) -> dict[str, Any]:
    own = {each.weights: each.mask for each in group}  # a tied weight counts once
    weights = [weight for several in own for weight in several]
    table: dict[str, Any] = {"match": {"name": [escape(weight.spec.name) for weight in weights]}}
    size = sum(mask.numel() for mask in own.values())
    kept = sum(int((mask != 0).sum()) for mask in own.values())
    if isinstance(methods[0], LnStructured | RandomStructured):
        axis, channels = _channels(group[0], methods)
        table["pattern"] = {"kind": "channel", "axis": axis}
        size, kept = len(channels), int(channels.sum())
    elif is_global or len(weights) > 1:
        table["distribution"] = "global"
    criterion = _CRITERIA[type(methods[0])]
    if criterion != "magnitude":
        table["criterion"] = criterion
    schedule = {"kind": "one_shot", "final_sparsity": _sparsity(methods, size, kept)}
    return {**table, "schedule": schedule}


def _channels(pruned: _Pruned, methods: Sequence[Any]) -> tuple[str, Tensor]:
    """Return the axis of the channels that were pruned, and which of them are kept.

    Raises:
        NoMeaningError: A policy has no such channels.

    """
    ndim = pruned.mask.ndim
    dims = {method.dim % ndim for method in methods}
    norms = {getattr(method, "n", 2) for method in methods}
    if norms - {2, "fro"}:
        raise NoMeaningError(
            f"was pruned by the norm {norms.pop()!r}, and only the L2 norm is translated; a rule "
            'that you write may say pattern = { kind = "channel", pooling = "l1" }, "max" or "min"'
        )
    if len(dims) > 1 or len(pruned.weights) > 1:
        raise NoMeaningError("was pruned along several dimensions, or packs several weights")
    dim, weight = dims.pop(), pruned.weights[0]
    kind = kind_named(weight.spec.kind)
    canonical = weight.entry.layout.to_canonical(_positions(pruned.mask, dim))
    for axis, name in ((kind.out_axis, "out"), (kind.in_axis, "in")):
        others = tuple(other for other in range(canonical.ndim) if other != axis)
        spans = canonical.max(axis=others) == canonical.min(axis=others)
        if spans.all() and canonical.shape[axis] == pruned.mask.shape[dim]:
            alive = (pruned.mask != 0).movedim(dim, 0).flatten(1).any(1)
            return name, alive
    raise NoMeaningError(f"was pruned along dim={dim}, which is neither out nor in")


def _positions(mask: Tensor, dim: int) -> Any:
    """Return the index along a dimension of each value, as an array in the mask's shape."""
    shape = [1] * mask.ndim
    shape[dim] = mask.shape[dim]
    return np.broadcast_to(np.arange(mask.shape[dim]).reshape(shape), tuple(mask.shape))


def _sparsity(methods: Sequence[Any], size: int, kept: int) -> float:
    """Return the sparsity as the calls wrote it, where it keeps as many; else a short decimal."""
    amounts = [method.amount for method in methods]
    if all(isinstance(amount, float) for amount in amounts):
        written = 1 - prod(1 - Fraction(repr(amount)) for amount in amounts)
        if keep_count(size, written) == kept:
            return float(written)
    digits = 1
    while keep_count(size, sparsity := round(1 - kept / size, digits)) != kept:
        digits += 1
    return sparsity


def _add(tables: list[dict[str, Any]], rule: dict[str, Any]) -> None:
    """Add a rule, or its weights to one that prunes alike, each weight by itself.

    Raises:
        NoMeaningError: Another rule prunes one of the weights already, in another way.

    """
    names = rule["match"]["name"]
    for table in tables:
        known = table["match"]["name"]
        is_alike = "distribution" not in rule and _how(table) == _how(rule)
        if not is_alike and set(known) & set(names):
            raise NoMeaningError("is tied to a parameter that was pruned in another way")
        if is_alike:
            known += [name for name in names if name not in known]
            return
    tables.append(rule)


def _how(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in rule.items() if key != "match"}
