"""From a saved state to the state of a run: every part of it must fit the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from secateur.adapter import WeightSpec
from secateur.errors import StateError, listed, shown
from secateur.layout import Array
from secateur.run.checks.group_counts import hold
from secateur.run.plan import Plan
from secateur.run.planned import RuleWeights
from secateur.run.run_state import RunState, ScheduleState
from secateur.run.saved.state import State
from secateur.selection.component_errors import attributed


def check_policy(state: State, plan: Plan) -> None:
    """Check that a state was saved under the policy of a plan.

    Raises:
        StateError: It was not.

    """
    if state.fingerprint != plan.policy.fingerprint:
        raise StateError(
            f"the state was saved under policy {shown(state.fingerprint[:12])}, and this pruner "
            f"runs {plan.policy.fingerprint[:12]}; attach with the policy of that run"
        )


def fitted_masks(state: State, plan: Plan, sharded: bool) -> dict[str, Array]:
    """Return the masks of a state under this model's names.

    Args:
        state: The state.
        plan: The plan that it is to fit.
        sharded: Whether masks hold only what is on this process, flat.

    Raises:
        StateError: The weights of the state are not those that the plan prunes.

    """
    specs = {spec.name: spec for rule in plan.rule_weights for spec in rule.specs}
    aliases = {alias: spec.name for spec in specs.values() for alias in spec.aliases}
    fitted: dict[str, Array] = {}
    found: dict[str, str] = {}
    shapes = {name: mask.shape for name, mask in state.masks.items()} | dict(state.waiting)
    for saved, shape in shapes.items():
        name = saved if saved in specs else aliases.get(saved, saved)
        is_flat = sharded and saved in state.masks
        if name not in specs or not (is_flat or shape == specs[name].shape):
            raise StateError(_misfit(saved, shape, specs))
        if name in found:
            raise StateError(
                f"the state has two masks for {name}: {shown(found[name])} and {shown(saved)}"
            )
        found[name] = saved
        if saved in state.masks:
            fitted[name] = state.masks[saved]
    if missing := [name for name in specs if name not in found]:
        raise StateError(
            f"the state knows nothing of {listed(missing, 3)}, which this plan prunes; it was "
            "saved from another model, or it is damaged"
        )
    return {name: fitted[name] for name in specs if name in fitted}


def fitted_memory(state: State, plan: Plan) -> dict[str, Mapping[str, Array]]:
    """Return what criteria keep, by this model's names.

    Args:
        state: The state.
        plan: The plan that it is to fit.

    Raises:
        StateError: The state has other arrays than the criteria of the plan keep.

    """
    fitted: dict[str, Mapping[str, Array]] = {}
    for rule in plan.rule_weights:
        for spec in rule.specs:
            saved = next((n for n in (spec.name, *spec.aliases) if n in state.memory), spec.name)
            arrays = state.memory.get(saved, {})
            found = {name: array.dtype for name, array in arrays.items()}
            if found != dict(rule.memory):
                raise StateError(
                    f"{spec.name}: the state has memory {_dtypes(found)}, and criterion "
                    f"{rule.method.criterion.kind!r} keeps {_dtypes(rule.memory)}; it was saved "
                    "by another version of the criterion, or it is damaged"
                )
            if arrays:
                fitted[spec.name] = arrays
    return fitted


def _dtypes(arrays: Mapping[str, np.dtype[Any]]) -> str:
    return listed([f"{shown(name)} ({dtype})" for name, dtype in sorted(arrays.items())]) or "none"


def _misfit(saved: str, shape: tuple[int, ...], specs: Mapping[str, WeightSpec]) -> str:
    have = listed(f"{spec.name} {spec.shape}" for spec in specs.values())
    return (
        f"the state has a mask of shape {shape} for {shown(saved)}, which does not fit this plan; "
        f"it prunes: {have}. Names that a framework makes up may differ from model to model: give "
        "the layers names of their own"
    )


def resumed(
    state: State, plan: Plan, masks: Mapping[str, Array], kept: Mapping[str, int], sharded: bool
) -> RunState:
    """Return the state of the run that goes on from a saved one.

    Args:
        state: The saved state.
        plan: The plan.
        masks: Its masks, from `fitted_masks`.
        kept: What each of them keeps.
        sharded: Whether they hold only what is on this process, flat.

    Raises:
        StateError: No run under this plan can have come to that state.

    """
    schedules = _schedules(state, plan)
    evaluated = state.step if state.evaluated is None else state.evaluated
    if evaluated > state.step:
        raise StateError(
            f"the state is at step {state.step} with masks of step {evaluated}, which is later"
        )
    memory = fitted_memory(state, plan)
    after = RunState(
        schedules, state.step, evaluated, masks, kept, memory=memory, remembered=state.step
    )
    reached: dict[int, float] = {}
    for rule in plan.rule_weights:
        scheduled = _scheduled(rule, after)
        names = [spec.name for spec in rule.specs]
        missing = [name for name in names if name not in masks]
        if missing and (scheduled is not None or len(missing) < len(names)):
            raise StateError(
                f"the state has no mask for {listed(missing, 3)} at step {state.step}, where rule "
                f"{rule.rule} has pruned"
            )
        if not missing:
            reached[rule.rule] = _reached(rule, after, scheduled, sharded)
    return replace(after, reached=reached)


def _schedules(state: State, plan: Plan) -> dict[int, ScheduleState]:
    schedules = {
        rule.rule: ScheduleState(
            rule.method.schedule, state.observed.get(rule.rule, ()), state.began.get(rule.rule)
        )
        for rule in plan.rule_weights
    }
    for number in (*state.began, *state.observed):
        schedule = schedules.get(number)
        when = None if schedule is None else schedule.schedule.begin_when
        if schedule is None or when is None:
            raise StateError(
                f"the state says that rule {number} waits or has waited to begin, and it has no "
                "begin_when in this plan"
            )
        began = schedule.began
        if began is not None and not schedule.schedule.earliest <= began <= state.step:
            raise StateError(
                f"the state says that rule {number} began at step {began}; it is at step "
                f"{state.step}, and the rule begins at {schedule.schedule.earliest} at the earliest"
            )
        if len(schedule.observed) > (0 if began is not None else 2 * when.window):
            raise StateError(
                f"the state has {len(schedule.observed)} observed values of rule {number}, more "
                "than it has yet to judge"
            )
    return schedules


def _scheduled(rule: RuleWeights, state: RunState) -> float | None:
    """Return the sparsity that a schedule has asked for last, if any."""
    schedule = state.schedules[rule.rule]
    with attributed(rule.method.schedule, state.step, [spec.name for spec in rule.specs]):
        return schedule.due(-1, state.evaluated)


def _reached(rule: RuleWeights, state: RunState, scheduled: float | None, sharded: bool) -> float:
    """Return the sparsity that masks hold, as the schedule counts it, where it can be told."""
    for asked in (scheduled, rule.method.schedule.final):
        if asked is not None and hold(rule, state.masks, state.kept, asked, sharded):
            return asked
    sizes = sum(spec.size for spec in rule.specs)
    kept = sum(state.kept[spec.name] for spec in rule.specs)
    return 1 - kept / sizes if sizes else rule.method.schedule.final
