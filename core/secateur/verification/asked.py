"""What a policy asks of each weight at a step of the run, counted in groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from secateur.arrays.counts import keep_count
from secateur.components.criteria import Regrowth
from secateur.errors import PolicyError
from secateur.run.plan import Plan
from secateur.run.planned import RuleWeights
from secateur.run.run_state import ScheduleState
from secateur.selection.component_errors import attributed


def target_at(rule: RuleWeights, step: int | None, began: Mapping[int, int] | None) -> float | None:
    """Return the sparsity that a rule asks for; None before its masks are first computed.

    That is the sparsity of its last update: where the target falls, weights come back.

    Args:
        rule: The rule and its weights, every step known.
        step: The number of optimizer updates finished; None for the end of the schedule.
        began: The step at which the schedule of each rule with ``begin_when`` began, if it did;
            None without a saved state.

    Raises:
        PolicyError: The schedule waits for a metric, and it is not known when it began.

    """
    if step is None:
        return rule.method.final
    schedule = rule.method.schedule
    names = [spec.name for spec in rule.specs]
    if schedule.begin_when is not None and began is None:
        raise PolicyError(
            f"rule {rule.rule} begins when {schedule.begin_when.monitor} converges, and only the "
            "saved state knows when that was: give the state of pruner.save()"
        )
    state = ScheduleState(schedule, began=(began or {}).get(rule.rule))
    if state.waits_for is not None:
        return None
    running = state.running
    with attributed(schedule, step, names):
        update = running.last_update(step)
        if update is None:
            return None
        asked = running.sparsity(update)
    return rule.method.target(asked)


def lets_come_back(rule: RuleWeights, step: int | None, began: Mapping[int, int] | None) -> bool:
    """Return whether weights came back at this very step: they are zero until the next update.

    Args:
        rule: The rule and its weights, every step known.
        step: As in `target_at`.
        began: As in `target_at`.

    """
    running = ScheduleState(rule.method.schedule, began=(began or {}).get(rule.rule)).running
    if not step or running.last_update(step) != step:
        return False
    before = running.last_update(step - 1)
    if before is None:
        return False
    is_less = running.sparsity(step) < running.sparsity(before)
    return is_less or isinstance(rule.method.criterion, Regrowth)


def kept_of_each(rule: RuleWeights, totals: Sequence[int], target: float) -> list[int] | None:
    """Return how many groups of each weight are kept; None where scores decide between weights.

    Args:
        rule: The rule and its weights.
        totals: How many groups each weight has.
        target: The sparsity that is asked for.

    """
    with attributed(rule.method.distribution, None, [spec.name for spec in rule.specs]):
        targets = rule.method.distribution.targets(rule.specs, target)
    if targets is None:
        return None
    return [keep_count(n, share) for n, share in zip(totals, targets, strict=True)]


def due_rules(
    plan: Plan, targets: Mapping[int, float | None]
) -> Iterator[tuple[RuleWeights, float]]:
    """Yield each rule that prunes already, and the sparsity that it asks for.

    Args:
        plan: The plan.
        targets: What each rule asks for; None of one that prunes nothing yet.

    """
    for rule in plan.rule_weights:
        target = targets[rule.rule]
        if target is not None:
            yield rule, target
