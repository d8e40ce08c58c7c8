"""Schedules that are legal, and surely or probably meant otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from secateur.components.method import Method
from secateur.components.periodic import Gradual
from secateur.components.schedule import Schedule
from secateur.components.schedules import Piecewise
from secateur.components.values import Percent
from secateur.errors import PolicyError
from secateur.policy.policy import Policy
from secateur.review.findings import PROBLEM, WARNING, Level
from secateur.review.remarks import Remark, path_of
from secateur.run.resolve import on_steps
from secateur.run.rule_problems import other_than_fixed, too_few, too_short
from secateur.selection.component_errors import attributed

TINY = 0.02
"""A final sparsity below it is probably a fraction of a per cent by mistake."""
_EARLY = 0.02
"""A schedule that is over after this share of the run, at a step up to 100, is probably one
whose step was meant as a percentage."""

_Said = Iterator[tuple[Level, str, str]]


def schedule_remarks(policy: Policy, total_steps: int | None) -> Iterator[Remark]:
    """Yield what is to be said of the schedule of each rule.

    Args:
        policy: The policy.
        total_steps: The length of the run, if it is known.

    """
    for rule in policy.resolved_rules:
        if rule.method is None:
            continue
        method = rule.method
        said = [*_of_settings(method), *_ends_early(method.schedule, total_steps)]
        for level, key, text in said:
            yield Remark(level, path_of(policy, rule, "schedule", key), text, rule)
        if total_steps is not None:
            try:
                method = on_steps(rule, total_steps) or method
            except PolicyError as error:
                text = str(error).removeprefix(f"{rule}: ")
                yield Remark(PROBLEM, path_of(policy, rule, "schedule"), text, rule)
                continue
        for level, key, text in _in_run(method, total_steps):
            yield Remark(level, path_of(policy, rule, "schedule", key), text, rule)


def _of_settings(method: Method) -> _Said:
    schedule = method.schedule
    with attributed(schedule):
        final = schedule.final
    if method.keeps_zeros:
        return
    if final == 0:
        yield WARNING, "final_sparsity", "final_sparsity = 0 prunes nothing; prune = false says so"
    elif not method.has_target:
        pass  # it is only the scale on which the schedule counts
    elif final == 1:
        yield (
            PROBLEM,
            "final_sparsity",
            "final_sparsity = 1 prunes every weight; write 0.5 for half",
        )
    elif final < TINY:
        text = f"final_sparsity = {final:g} prunes {final * 100:g} % of the weights; is a fraction "
        yield WARNING, "final_sparsity", f"{text}of 1 meant, such as 0.8 for 80 %?"
    if isinstance(schedule, Gradual):
        yield from _of_a_ramp(schedule)
    if isinstance(schedule, Piecewise):
        yield from _of_points(schedule)
    yield from _mixed_steps(schedule)
    if schedule.begin_when is not None and schedule.begin_when.latest is None:
        yield (
            WARNING,
            "begin_when",
            "begin_when without latest may never begin; give the step at which it does anyway",
        )


def _of_a_ramp(schedule: Gradual) -> _Said:
    first, last = schedule.initial_sparsity, schedule.final_sparsity
    if schedule.begin_step == schedule.end_step:
        text = "it begins and ends at the same step, so that the sparsity jumps; one_shot says so"
        yield WARNING, "end_step", text
    if first > last:
        text = f"the sparsity falls from {first:g} to {last:g}; is it the other way round?"
        yield PROBLEM, "initial_sparsity", text
    elif first == last and last:
        text = f"initial_sparsity is the final one, {last:g}: it is reached at the first update"
        yield WARNING, "initial_sparsity", text


def _of_points(schedule: Piecewise) -> _Said:
    for (_, before), (step, after) in pairwise(schedule.points):
        if after < before:
            text = f"the sparsity falls from {before:g} to {after:g} at step {step}"
            yield WARNING, "points", text


def _mixed_steps(schedule: Schedule) -> _Said:
    """Yield a step that was probably meant as a percentage, beside one that is."""
    if isinstance(schedule, Piecewise):
        steps = [("points", step) for step, _ in schedule.points]
    else:
        steps = [(key, getattr(schedule, key, 0)) for key in ("begin_step", "end_step")]
    if not any(isinstance(step, Percent) for _, step in steps):
        return
    for key, step in steps:
        if not isinstance(step, Percent) and 0 < step <= 100:
            name = "a point" if key == "points" else key
            sure: Level = PROBLEM if key == "end_step" else WARNING
            yield sure, key, f'{name} = {step} is step {step}; "{step}%" is a share of the run'


def _in_run(method: Method, total_steps: int | None) -> _Said:
    if note := other_than_fixed(method):
        yield PROBLEM, "final_sparsity", note
    if method.schedule.percentages():
        return
    if note := too_short(method, total_steps):
        yield PROBLEM, "end_step", note
    if note := too_few(method.schedule, total_steps):
        yield WARNING, "frequency", note


def _ends_early(schedule: Schedule, total_steps: int | None) -> _Said:
    end = getattr(schedule, "end_step", None)
    if total_steps is None or end is None or isinstance(end, Percent) or not 0 < end <= 100:
        return
    if end < total_steps * _EARLY:
        text = f'it is over at step {end} of {total_steps:,}; "{end}%" is a share of the run'
        yield WARNING, "end_step", text
