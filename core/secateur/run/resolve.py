"""From a policy and a bound model to the plan: every weight by the first rule that matches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from secateur.adapter import Binding, WeightSpec
from secateur.components.method import Method
from secateur.components.values import checked_total_steps
from secateur.errors import ModelError, PolicyError
from secateur.policy.match import Candidates
from secateur.policy.policy import Policy
from secateur.policy.rule import ResolvedRule
from secateur.run.plan import Plan, PlannedWeight, RuleWeights
from secateur.run.rule_problems import (
    schedule_notes,
    shadowed_notes,
    trainable_notes,
    unmatched_error,
    unordered_error,
)
from secateur.selection.component_errors import attributed

Matches = dict[int, list[int]]
"""The indices of the weights that each rule matches, by the rule's number."""


def resolve(policy: Policy, binding: Binding, total_steps: int | None = None) -> Plan:
    """Decide every weight of a bound model by the first rule that matches it.

    Args:
        policy: The policy.
        binding: The bound model.
        total_steps: The length of the run in optimizer updates; without it, schedules keep
            their percentages.

    Raises:
        ModelError: The model has nothing to prune, or two weights of one name.
        PolicyError: A rule matches nothing, needs an order of layers that a file does not have,
            or makes no sense in a run of that length.

    """
    rules = policy.resolved_rules
    methods = {
        rule.number: rule.method if total_steps is None else on_steps(rule, total_steps)
        for rule in rules
    }
    specs = [weight.spec for weight in binding.weights]
    _refuse_without_weights(binding)
    _refuse_equal_names(specs, binding.adapter)
    matches = _matches(rules, specs, binding)
    deciding: dict[int, int] = {}
    for number, indices in matches.items():
        for index in indices:
            deciding.setdefault(index, number)
    rule_weights = _rule_weights(specs, deciding, methods)
    targets = {name: target for each in rule_weights for name, target in _targets(each).items()}
    planned = tuple(
        PlannedWeight(spec, deciding.get(index), spec.name in targets, targets.get(spec.name, 0.0))
        for index, spec in enumerate(specs)
    )
    return Plan(
        policy,
        binding.adapter,
        planned,
        tuple(binding.skipped),
        rule_weights,
        binding.parameters,
        tuple(schedule_notes(rules, rule_weights, total_steps)),
        (*shadowed_notes(rules, matches, deciding), *trainable_notes(rules, binding)),
    )


def on_steps(rule: ResolvedRule, total_steps: int | None) -> Method | None:
    """Return how a rule prunes in a run of a given length, with every percentage as a step.

    Args:
        rule: The rule.
        total_steps: The number of optimizer updates of the run; None if it is not known.

    Raises:
        PolicyError: `total_steps` is needed and None, or is no positive integer, or the schedule
            makes no sense in such a run.

    """
    total_steps = checked_total_steps(total_steps)
    if rule.method is None:
        return None
    schedule = rule.method.schedule
    try:
        with attributed(schedule):
            return replace(rule.method, schedule=schedule.with_total_steps(total_steps))
    except PolicyError as error:
        raise PolicyError(f"{rule}: {error}") from None


def _refuse_without_weights(binding: Binding) -> None:
    if not binding.weights:
        skipped = "; ".join(f"{each.name}: {each.reason}" for each in binding.skipped[:8])
        raise ModelError(
            f"this {binding.adapter} model has no weight that can be pruned"
            + (f" (left dense: {skipped})" if skipped else "")
        )


def _refuse_equal_names(specs: Sequence[WeightSpec], adapter: str) -> None:
    (name, times), *_ = Counter(spec.name for spec in specs).most_common(1)
    if times > 1:
        raise ModelError(
            f"the {adapter} adapter gives {times} weights the name {name}, so some of them "
            "would be forgotten. If a plugin's secateur_layer_weights describes this layer, give "
            "each of its weights a role of its own; a kind of the plugin (secateur.Kind) may "
            "bring new roles. Otherwise two layers have one name: rename one."
        )


def _matches(
    rules: Sequence[ResolvedRule], specs: Sequence[WeightSpec], binding: Binding
) -> Matches:
    layers = dict.fromkeys([*(binding.layers or ()), *(spec.layer for spec in specs)])
    candidates = Candidates(specs, list(layers))
    matches: Matches = {}
    for rule in rules:
        if not binding.ordered and (unknown := rule.match.needs_live_model()):
            raise unordered_error(rule, unknown)
        matches[rule.number] = rule.match.select(candidates, binding.adapter)
    for rule in rules:
        if rule.required and not matches[rule.number]:
            raise unmatched_error(rule, specs, binding.adapter)
    return matches


def _rule_weights(
    specs: Sequence[WeightSpec], deciding: dict[int, int], methods: dict[int, Method | None]
) -> tuple[RuleWeights, ...]:
    chosen: dict[int, list[WeightSpec]] = {}
    for index in sorted(deciding):
        chosen.setdefault(deciding[index], []).append(specs[index])
    return tuple(
        RuleWeights(number, method, tuple(chosen[number]))
        for number in sorted(chosen)
        if (method := methods[number])
    )


def _targets(rule: RuleWeights) -> dict[str, float | None]:
    """Return where each weight of a rule ends; None where the scores decide."""
    method, names = rule.method, [spec.name for spec in rule.specs]
    if method.fixed_sparsity is not None:
        return dict.fromkeys(names, method.final)
    with attributed(method.distribution, 0, names):
        targets = method.distribution.targets(rule.specs, method.final)
        if targets is None:
            return dict.fromkeys(names)
        return {name: float(target) for name, target in zip(names, targets, strict=True)}
