"""All that changes while a pruner runs, where each schedule stands included, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from secateur.adapter import Weight
from secateur.components.begin_when import BeginWhen
from secateur.components.criteria.regrowth import Regrowth
from secateur.components.periodic import Periodic
from secateur.components.schedule import Schedule
from secateur.hooks.events import MasksUpdated
from secateur.layout import Array
from secateur.masks import compute as mask_rules
from secateur.masks import memory as memories
from secateur.masks.gradients import Gradients
from secateur.masks.regrowth import regrown
from secateur.run.plan import Plan
from secateur.run.planned import RuleWeights
from secateur.selection.component_errors import attributed, component_error
from secateur.workers import Workers

_FAR = 2**62


@dataclass(frozen=True)
class ScheduleState:
    """A schedule, and where one with ``begin_when`` stands.

    Attributes:
        schedule: The schedule, its steps known.
        observed: The last values of what it monitors, while it waits to begin.
        began: The step at which it began; None while it waits, and without ``begin_when``.

    """

    schedule: Schedule
    observed: tuple[float, ...] = ()
    began: int | None = None

    @property
    def waits_for(self) -> BeginWhen | None:
        """What it still waits for."""
        return self.schedule.begin_when if self.began is None else None

    @property
    def running(self) -> Schedule:
        """The schedule with the step at which it really began."""
        return self.schedule if self.began is None else self.schedule.starting_at(self.began)

    def observe(self, values: Mapping[str, float]) -> ScheduleState:
        """Return the state after metric values were observed."""
        when = self.waits_for
        if when is None or when.monitor not in values:
            return self
        observed = (*self.observed, float(values[when.monitor]))[-2 * when.window :]
        return replace(self, observed=observed)

    def at(self, step: int) -> ScheduleState:
        """Return the state at a step, begun if its time has come."""
        when = self.waits_for
        if when is None:
            return self
        with attributed(self.schedule, step):
            early = step < self.schedule.earliest
            begins = when.converged(self.observed) or self._is_latest(when, step)
        return replace(self, began=step, observed=()) if begins and not early else self

    def _is_latest(self, when: BeginWhen, step: int) -> bool:
        latest = self.schedule.latest if when.latest is None else when.latest
        return isinstance(latest, int) and step >= latest

    def due(self, before: int, step: int) -> float | None:
        """Return the scheduled sparsity of the latest update after `before` and up to `step`."""
        if self.waits_for is not None:
            return None
        schedule = self.running
        due = schedule.last_update_between(before, step)
        return None if due is None else schedule.sparsity(due)


@dataclass(frozen=True)
class RunState:
    """All that changes while a pruner runs.

    The pruner replaces it by one assignment, so that no interrupt can leave the masks of one
    step with the number of another.

    Attributes:
        schedules: Where the schedule of each rule stands, by the rule's number.
        step: The number of optimizer updates finished.
        evaluated: The step up to which every due update of the masks was made.  It is less than
            `step` only when an update failed or was interrupted, which is then still due.
        masks: The current masks, by weight name.
        kept: What each mask keeps, over all workers.
        reached: The sparsity that the current masks hold, as their schedule counts it, by rule.
        memory: What criteria with memory keep, by weight name.
        remembered: The step up to which that was updated; less than `step` only after an error.
        revived: Where pruned values came back by the last update, by weight; of rules in which
            some may have.
        attached: Whether the pruner drives its model.
        note: What to warn of at the first step, unless a state is loaded before.

    """

    schedules: Mapping[int, ScheduleState]
    step: int = 0
    evaluated: int = -1
    masks: Mapping[str, Array] = field(default_factory=dict)
    kept: Mapping[str, int] = field(default_factory=dict)
    reached: Mapping[int, float] = field(default_factory=dict)
    memory: Mapping[str, memories.Memory] = field(default_factory=dict)
    remembered: int = 0
    revived: Mapping[str, Array] = field(default_factory=dict)
    attached: bool = True
    note: str = ""

    @classmethod
    def of(cls, plan: Plan) -> RunState:
        """Return the state before anything has run."""
        return cls({rule.rule: ScheduleState(rule.method.schedule) for rule in plan.rule_weights})

    def sparsity(self, plan: Plan) -> float:
        """Return the fraction of all weights of a plan that the masks prune."""
        sizes = {planned.spec.name: planned.spec.size for planned in plan.weights}
        total = sum(sizes.values())
        kept = sum(self.kept.get(name, size) for name, size in sizes.items())
        return 1 - kept / total if total else 0.0

    def observe(self, values: Mapping[str, float]) -> RunState:
        """Return the state after metric values were observed."""
        schedules = {rule: schedule.observe(values) for rule, schedule in self.schedules.items()}
        return replace(self, schedules=schedules)


def begin_schedules(state: RunState, plan: Plan) -> RunState:
    """Return the state in which each schedule has begun whose time has come.

    Raises:
        PluginError: A schedule failed.

    """
    schedules = dict(state.schedules)
    for rule in plan.rule_weights:
        with attributed(rule.method.schedule, state.step, _names(rule)):
            schedules[rule.rule] = schedules[rule.rule].at(state.step)
    return replace(state, schedules=schedules)


def evaluate(
    state: RunState,
    plan: Plan,
    weights: Mapping[str, Weight],
    workers: Workers,
    gradients: Gradients,
) -> tuple[RunState, MasksUpdated | None]:
    """Return the state in which no update of the masks is due, and what observers are told.

    Nothing is changed: the new masks are computed, and not applied.

    Args:
        state: The state.
        plan: The plan.
        weights: The weights by name.
        workers: The processes that shard them.
        gradients: The gradients of the last update.

    Raises:
        WeightError: A weight holds a NaN or infinity.
        PluginError: A part of the policy failed.

    """
    new: dict[str, Array] = {}
    targets: dict[str, float] = {}
    reached: dict[int, float] = {}
    revived: dict[str, Array] = {}
    for rule in plan.rule_weights:
        scheduled = due(state, rule)
        if scheduled is None:
            continue
        target = rule.method.target(scheduled)
        members = [weights[name] for name in _names(rule)]
        if not state.step and not target and rule.watches_training:
            masks = _all_kept(members)
        else:
            regrows = isinstance(rule.method.criterion, Regrowth)
            make = regrown if regrows else mask_rules.compute
            masks = make(
                rule.method,
                members,
                target,
                state.step,
                state.masks,
                workers,
                gradients,
                state.memory,
            )
        new |= masks
        targets |= dict.fromkeys(masks, target)
        reached[rule.rule] = scheduled
        if rule.method.criterion.regrows or scheduled < state.reached.get(rule.rule, 0):
            revived |= _revived(masks, state.masks)
    after = replace(state, evaluated=state.step)
    if not new:
        return after, None
    kept = mask_rules.kept(new, workers)
    for rule in plan.rule_weights:
        if rule.rule in reached:
            targets |= rule.held(kept)
    after = replace(
        after,
        masks={**state.masks, **new},
        kept={**state.kept, **kept},
        reached={**state.reached, **reached},
        revived=revived,
    )
    return after, MasksUpdated(state.step, new, targets, plan.policy.fingerprint)


def _all_kept(weights: Sequence[Weight]) -> dict[str, Array]:
    """Return the masks before the first update of a criterion that can score nothing yet."""
    return {weight.spec.name: np.ones(weight.read().shape, bool) for weight in weights}


def _revived(new: Mapping[str, Array], old: Mapping[str, Array]) -> dict[str, Array]:
    """Return where values come back that the masks so far prune."""
    found = {name: mask & ~old[name] for name, mask in new.items() if name in old}
    for back in found.values():
        back.flags.writeable = False
    return found


def remember(
    state: RunState,
    plan: Plan,
    weights: Mapping[str, Weight],
    workers: Workers,
    gradients: Gradients,
) -> RunState:
    """Return the state in which the memory of criteria has taken in the last update.

    Args:
        state: The state.
        plan: The plan.
        weights: The weights by name.
        workers: The processes that shard them.
        gradients: The gradients of the last update.

    Raises:
        WeightError: A gradient holds a NaN or infinity.
        PluginError: A criterion failed.

    """
    if state.remembered == state.step:
        return state
    memory = dict(state.memory)
    for rule in plan.rule_weights:
        if rule.memory and not is_over(state, rule):
            members = [weights[name] for name in _names(rule)]
            criterion = rule.method.criterion
            memory |= memories.updated(criterion, members, memory, gradients, state.step, workers)
    return replace(state, memory=memory, remembered=state.step)


def is_over(state: RunState, rule: RuleWeights) -> bool:
    """Return whether the masks of a rule surely are never recomputed again."""
    schedule = state.schedules[rule.rule]
    if schedule.waits_for or not isinstance(schedule.schedule, Periodic):
        return False
    with attributed(rule.method.schedule, state.step, _names(rule)):
        return schedule.running.last_update_between(state.evaluated, _FAR) is None


def due(state: RunState, rule: RuleWeights) -> float | None:
    """Return the scheduled sparsity of the update of a rule's masks that is due, if one is.

    Raises:
        PluginError: The schedule failed, or gave a sparsity that is none.

    """
    schedule, names = rule.method.schedule, _names(rule)
    with attributed(schedule, state.step, names):
        scheduled = state.schedules[rule.rule].due(state.evaluated, state.step)
        is_sparsity = scheduled is None or 0 <= scheduled <= 1
    if not is_sparsity:
        gave = f"gave sparsity {scheduled}; wanted 0 to 1"
        raise component_error(schedule, state.step, names, gave)
    return scheduled


def _names(rule: RuleWeights) -> list[str]:
    return [spec.name for spec in rule.specs]
