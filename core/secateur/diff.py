"""What differs: between policies, between plans, between twins, between checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from secateur.checkpoints import Checkpoint
from secateur.counts import keep_count
from secateur.keys import FLOATS
from secateur.planning import Plan, PlannedWeight
from secateur.policy import Policy


@dataclass(frozen=True)
class Change:
    """One setting of one rule: what it was and what it is; None where there is no such thing."""

    rule: str
    setting: str
    before: Any
    after: Any


def policies(before: Policy, after: Policy) -> list[Change]:
    """Return every setting that differs, rule by rule, defaults filled in.

    Rules are the same rule when they have the same id, or else the same match.

    >>> one = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
    >>> two = {"schedule": {"kind": "one_shot", "final_sparsity": 0.7}}
    >>> policies(Policy.parse(one), Policy.parse(two))
    [Change(rule='everything', setting='schedule.final_sparsity', before=0.5, after=0.7)]
    """
    old, new = _rules(before), _rules(after)
    changes = [Change(name, "rule", f"rule {old[name]['number']}", None) for name in old
               if name not in new]  # fmt: skip
    shared = [name for name in new if name in old]
    was = [name for name in old if name in new]
    for name, rule in new.items():
        if name not in old:
            changes.append(Change(name, "rule", None, f"rule {rule['number']}"))
            continue
        if was.index(name) != shared.index(name):
            changes.append(Change(name, "place", old[name]["number"], rule["number"]))
        first, second = _flat(old[name]["settings"]), _flat(rule["settings"])
        changes += [
            Change(name, setting, first.get(setting), second.get(setting))
            for setting in dict.fromkeys([*first, *second])
            if first.get(setting) != second.get(setting)
        ]
    return changes


def _rules(policy: Policy) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for settled in policy.settled_rules:
        match = settled.match.normalised()
        known = policy.rules[settled.number - 1].id if policy.rules else None
        name = known or (json.dumps(match) if match else "everything")
        if name in found:
            name = f"{name} (rule {settled.number})"
        method = settled.method.to_dict() if settled.method else {}
        settings = {"match": match, "prune": bool(method), "required": settled.required, **method}
        found[name] = {"number": settled.number, "settings": settings}
    return found


def _flat(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{above}{key}.")
        else:
            flat[above + key] = value
    return flat


Pair = tuple[PlannedWeight | None, PlannedWeight | None]
"""One weight in two plans; None where a plan has no such weight."""


def plans(before: Plan, after: Plan) -> list[Pair]:
    """Return the weights, by name, whose target differs between two plans."""
    old = {planned.spec.name: planned for planned in before.weights}
    new = {planned.spec.name: planned for planned in after.weights}
    pairs = [(old.get(name), new.get(name)) for name in dict.fromkeys([*old, *new])]
    return [pair for pair in pairs if _target(pair[0], before) != _target(pair[1], after)]


def _target(planned: PlannedWeight | None, plan: Plan) -> Any:
    """Return where a weight ends, or the share of its whole group where scores decide."""
    if planned is None or planned.target is not None:
        return planned and (planned.pruned, planned.target)
    group = next(group for group in plan.groups if group.rule == planned.rule)
    return group.method.distribution, group.method.final, group.specs


def twins(first: Plan, second: Plan) -> list[Pair]:
    """Return the weights of two models that a policy treats differently.

    Names may differ: weights are paired in model order by kind, role and shape.
    """
    keys = [[(w.spec.kind, w.spec.role, w.spec.shape) for w in plan.weights]
            for plan in (first, second)]  # fmt: skip
    pairs: list[Pair] = []
    for tag, a, b, c, d in SequenceMatcher(a=keys[0], b=keys[1], autojunk=False).get_opcodes():
        if tag == "equal":
            pairs += zip(first.weights[a:b], second.weights[c:d], strict=True)
        else:
            pairs += [(planned, None) for planned in first.weights[a:b]]
            pairs += [(None, planned) for planned in second.weights[c:d]]
    return [pair for pair in pairs if None in pair or _outcome(pair[0]) != _outcome(pair[1])]


def _outcome(planned: PlannedWeight | None) -> Any:
    return planned and (planned.rule, planned.pruned, planned.target)


def rule_counts(plans: Sequence[Plan]) -> list[tuple[int, list[int]]]:
    """Return how many weights each rule decides in each plan of one policy."""
    numbers = [rule.number for rule in plans[0].policy.settled_rules]
    return [
        (number, [sum(w.rule == number for w in plan.weights) for plan in plans])
        for number in numbers
    ]


def kept(plan: Plan) -> int:
    """Return how many weights a plan keeps in the end, of those that can be pruned.

    Counted in single weights: blocks and channels at the edge of a weight may differ by
    their size.
    """
    pruned = {planned.spec.name: planned for planned in plan.weights if planned.pruned}
    total = sum(planned.spec.size for planned in plan.weights if not planned.pruned)
    for group in plan.groups:
        targets = [pruned[spec.name].target for spec in group.specs]
        if None in targets:
            total += keep_count(sum(spec.size for spec in group.specs), group.method.final)
        else:
            total += sum(
                keep_count(spec.size, target or 0)
                for spec, target in zip(group.specs, targets, strict=True)
            )
    return total


@dataclass(frozen=True)
class TensorChange:
    """One tensor of two checkpoints: zeros in each, and how many values differ.

    Numbers are None where a checkpoint has no such tensor or the two have other shapes.
    """

    name: str
    shapes: tuple[tuple[int, ...] | None, tuple[int, ...] | None]
    zeros: tuple[int | None, int | None]
    changed: int | None


def tensors(before: Checkpoint, after: Checkpoint, name: str) -> TensorChange:
    """Compare one tensor; NaN equals NaN."""
    found = [each.tensors.get(name) for each in (before, after)]
    readable = [
        each.read(name) if tensor and tensor.dtype in FLOATS else None
        for each, tensor in zip((before, after), found, strict=True)
    ]
    zeros = [None if v is None else v.size - int(np.count_nonzero(v)) for v in readable]
    shapes = [None if tensor is None else tensor.shape for tensor in found]
    first, second = readable
    changed = None
    if first is not None and second is not None and shapes[0] == shapes[1]:
        same = (first == second) | (np.isnan(first) & np.isnan(second))
        changed = first.size - int(np.count_nonzero(same))
    return TensorChange(name, (shapes[0], shapes[1]), (zeros[0], zeros[1]), changed)
