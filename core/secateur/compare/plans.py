"""Which weights differ between two plans: of two policies, or of twins."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

from secateur.run.plan import Plan
from secateur.run.planned import PlannedWeight
from secateur.tables import format_sparsity

Pair = tuple[PlannedWeight | None, PlannedWeight | None]
"""One weight in two plans; None where a plan has no such weight."""


def plan_changes(before: Plan, after: Plan) -> list[Pair]:
    """Return the weights, by name, whose target differs between two plans.

    Args:
        before: A plan.
        after: A plan of another policy on the same model.

    Returns:
        Each weight as both plans have it, None where a plan has no such weight.

    Raises:
        TypeError: One of them is not a plan.

    Example:
        >>> import numpy as np, secateur
        >>> model = {"fc": np.ones((2, 4)), "head": np.ones((2, 2))}
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> head = half | {"rules": [{"match": {"name": "fc"}, "prune": False}, {}]}
        >>> plans = [secateur.plan(model, policy) for policy in (half, head)]
        >>> [(old.spec.name, old.target, new.pruned) for old, new in plan_changes(*plans)]
        [('fc', 0.5, False)]

    """
    for plan in (before, after):
        if not isinstance(plan, Plan):
            raise TypeError(
                f"plan_changes compares plans, not a {type(plan).__name__}; see secateur.plan"
            )
    old = {planned.spec.name: planned for planned in before.weights}
    new = {planned.spec.name: planned for planned in after.weights}
    pairs = [(old.get(name), new.get(name)) for name in dict.fromkeys([*old, *new])]
    return [pair for pair in pairs if _target(pair[0], before) != _target(pair[1], after)]


def _target(planned: PlannedWeight | None, plan: Plan) -> Any:
    """Return where a weight ends, or what decides it where scores do."""
    if planned is None or planned.target is not None:
        return planned and (planned.pruned, planned.target)
    rule = next(rule for rule in plan.rule_weights if rule.rule == planned.rule)
    return rule.method.distribution, rule.method.final, rule.specs


def end_in_words(planned: PlannedWeight) -> str:
    """Return where a weight ends: its sparsity, what decides it, or that it stays dense.

    Args:
        planned: The weight.

    """
    if not planned.pruned:
        return "dense"
    return planned.by if planned.target is None else format_sparsity(planned.target)


def twin_changes(first: Plan, second: Plan) -> list[Pair]:
    """Return the weights of two models that a policy treats differently.

    Weights of one name are twins where kind, role and shape are the same, too.  The names of the
    others may differ: they are paired by kind, role and shape, in the order of the models.

    Args:
        first: The policy's plan of a model.
        second: Its plan of the other model.

    """
    twins = _by_name(first, second)
    twins |= _in_order(
        [weight for weight in first.weights if weight.spec.name not in twins],
        [weight for weight in second.weights if weight.spec.name not in twins],
    )
    paired = {twin.spec.name for twin in twins.values()}
    pairs: list[Pair] = [(weight, twins.get(weight.spec.name)) for weight in first.weights]
    pairs += [(None, weight) for weight in second.weights if weight.spec.name not in paired]
    return [pair for pair in pairs if None in pair or _outcome(pair[0]) != _outcome(pair[1])]


def _by_name(first: Plan, second: Plan) -> dict[str, PlannedWeight]:
    named = {weight.spec.name: weight for weight in second.weights}
    return {
        weight.spec.name: named[weight.spec.name]
        for weight in first.weights
        if weight.spec.name in named and _form(weight) == _form(named[weight.spec.name])
    }


def _in_order(
    first: Sequence[PlannedWeight], second: Sequence[PlannedWeight]
) -> dict[str, PlannedWeight]:
    forms = [list(map(_form, weights)) for weights in (first, second)]
    matcher = SequenceMatcher(a=forms[0], b=forms[1], autojunk=False)
    return {
        first[block.a + number].spec.name: second[block.b + number]
        for block in matcher.get_matching_blocks()
        for number in range(block.size)
    }


def _form(planned: PlannedWeight) -> tuple[str, str, tuple[int, ...]]:
    return planned.spec.kind, planned.spec.role, planned.spec.shape


def _outcome(planned: PlannedWeight | None) -> Any:
    return planned and (planned.rule, planned.pruned, planned.target)


def rule_counts(plans: Sequence[Plan]) -> list[tuple[int, list[int]]]:
    """Return the number of each rule, and how many weights it decides in each plan.

    Args:
        plans: Plans of one policy.

    """
    numbers = [rule.number for rule in plans[0].policy.resolved_rules]
    return [
        (number, [sum(w.rule == number for w in plan.weights) for plan in plans])
        for number in numbers
    ]
