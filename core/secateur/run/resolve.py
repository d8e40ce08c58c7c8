"""From a policy and a bound model to the plan: every weight by the first rule that matches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from secateur.adapter import Binding, WeightSpec
from secateur.components.method import Method
from secateur.components.values import checked_total_steps
from secateur.errors import PolicyError
from secateur.policy.policy import Policy
from secateur.policy.rule import ResolvedRule
from secateur.run.checks import needs
from secateur.run.matching import match_rules
from secateur.run.plan import Plan
from secateur.run.planned import PlannedWeight, RuleWeights, kept_elements
from secateur.run.rule_problems import schedule_notes, shadowed_notes, trainable_notes
from secateur.selection.component_errors import attributed

Refuse = Callable[[PolicyError], None]


def _raise(error: PolicyError) -> None:
    raise error


def resolve(
    policy: Policy, binding: Binding, total_steps: int | None = None, refuse: Refuse = _raise
) -> Plan:
    """Decide every weight of a bound model by the first rule that matches it.

    Args:
        policy: The policy.
        binding: The bound model.
        total_steps: The length of the run in optimizer updates; without it, schedules keep
            their percentages.
        refuse: Called with each error of the policy instead of raising it.

    Raises:
        ModelError: The model has nothing to prune, or two weights of one name.
        PolicyError: A rule matches nothing, needs an order of layers that a file does not have,
            or makes no sense in a run of that length.

    """
    rules = policy.resolved_rules
    methods = methods_in(rules, total_steps, refuse)
    found = match_rules(rules, binding)
    for _, error in found.errors:
        refuse(error)
    specs, deciding = found.specs, found.deciding
    rule_weights = _rule_weights(specs, deciding, methods)
    targets = {name: target for each in rule_weights for name, target in _targets(each).items()}
    by_values = {rule.rule: rule.method.decided_by for rule in rule_weights if rule.by_values}
    planned = tuple(
        PlannedWeight(
            spec,
            deciding.get(index),
            spec.name in targets,
            targets.get(spec.name, 0.0),
            by_values.get(deciding.get(index, 0), PlannedWeight.by),
        )
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
        (
            *shadowed_notes(rules, found.matches, deciding),
            *trainable_notes(rules, binding),
            *needs.notes(rule_weights, binding),
        ),
        total_steps,
        _kept_after(specs, rule_weights, total_steps),
    )


def methods_in(
    rules: Sequence[ResolvedRule], total_steps: int | None, refuse: Refuse = _raise
) -> dict[int, Method | None]:
    """Return how each rule prunes in a run, by its number.

    Args:
        rules: The rules.
        total_steps: The length of the run, if it is known.
        refuse: Called with the error of each rule that makes no sense in such a run; it keeps
            its percentages then.

    """
    methods = {rule.number: rule.method for rule in rules}
    for rule in rules if total_steps is not None else ():
        try:
            methods[rule.number] = on_steps(rule, total_steps)
        except PolicyError as error:
            refuse(error)
    return methods


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


def _rule_weights(
    specs: Sequence[WeightSpec], deciding: Mapping[int, int], methods: Mapping[int, Method | None]
) -> tuple[RuleWeights, ...]:
    chosen: dict[int, list[WeightSpec]] = {}
    for index in sorted(deciding):
        chosen.setdefault(deciding[index], []).append(specs[index])
    return tuple(
        RuleWeights(number, method, tuple(chosen[number]))
        for number in sorted(chosen)
        if (method := methods[number])
    )


def _targets(rule: RuleWeights, final: float | None = None) -> dict[str, float | None]:
    """Return where each weight of a rule ends; None where the scores decide."""
    method, names = rule.method, [spec.name for spec in rule.specs]
    final = method.final if final is None else final
    if rule.by_values:
        return dict.fromkeys(names)
    if method.fixed_sparsity is not None:
        return dict.fromkeys(names, final)
    with attributed(method.distribution, 0, names):
        targets = method.distribution.targets(rule.specs, final)
        if targets is None:
            return dict.fromkeys(names)
        return {name: float(target) for name, target in zip(names, targets, strict=True)}


def _kept_after(
    specs: Sequence[WeightSpec], rule_weights: Sequence[RuleWeights], total_steps: int | None
) -> int | None:
    """Return how many elements are kept after a run; None where its length is not known.

    A schedule that waits for a metric is taken to end in time.
    """
    if total_steps is None:
        return None
    kept = sum(spec.size for spec in specs)
    for rule in rule_weights:
        reached = sparsity_after(rule.method, total_steps)
        kept -= sum(spec.size for spec in rule.specs)
        kept += kept_elements(rule.method, rule.specs, _targets(rule, reached), reached)
    return kept


def sparsity_after(method: Method, total_steps: int) -> float:
    """Return the sparsity that a rule has reached after a run.

    Args:
        method: How the rule prunes, with every percentage as a step.
        total_steps: The length of the run.

    """
    schedule = method.schedule
    if schedule.begin_when is not None or schedule.percentages():
        return method.final
    with attributed(schedule):
        last = schedule.last_update(total_steps)
        return 0.0 if last is None else method.target(schedule.sparsity(last))
