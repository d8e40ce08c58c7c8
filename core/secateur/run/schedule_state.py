"""When a rule's masks are due: its schedule, and whether that has begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from secateur.components.begin_when import BeginWhen
from secateur.components.schedule import Schedule
from secateur.selection.component_errors import attributed


@dataclass(frozen=True)
class ScheduleState:
    """A schedule, and where one with ``begin_when`` stands.

    `observed` holds the last values of what it monitors; `began` is the step at which it
    began, None while it waits.
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
        """Take note of a monitored value."""
        when = self.waits_for
        if when is None or when.monitor not in values:
            return self
        observed = (*self.observed, float(values[when.monitor]))[-2 * when.window :]
        return replace(self, observed=observed)

    def at(self, step: int) -> ScheduleState:
        """Return the clock at a step, begun if its time has come."""
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
        """Return the target of the latest update after `before` and up to `step`, if any."""
        if self.waits_for is not None:
            return None
        schedule = self.running
        due = schedule.last_update_between(before, step)
        return None if due is None else schedule.sparsity(due)

    def shortfall(self, step: int) -> str | None:
        """Say what is missing to the final sparsity after `step` updates; None when there."""
        final = self.schedule.final
        if when := self.waits_for:
            return f"waits for {when.monitor} to converge; its final sparsity is {final:g}"
        last = self.running.last_update(step)
        reached = None if last is None else self.running.sparsity(last)
        if reached == final:
            return None
        now = "has not begun" if reached is None else f"has come to sparsity {reached:.4g}"
        return f"the schedule {now} at step {step}; its final sparsity is {final:g}"
