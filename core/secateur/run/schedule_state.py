"""Where one rule's schedule stands: whether it has begun, and which update of masks is due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from secateur.components.begin_when import BeginWhen
from secateur.components.schedule import Schedule
from secateur.selection.component_errors import attributed


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

    def last_update(self, step: int) -> int | None:
        """Return the last step up to `step` at which masks are recomputed, if any."""
        return None if self.waits_for else self.running.last_update(step)

    def due(self, before: int, step: int) -> float | None:
        """Return the scheduled sparsity of the latest update after `before` and up to `step`."""
        if self.waits_for is not None:
            return None
        schedule = self.running
        due = schedule.last_update_between(before, step)
        return None if due is None else schedule.sparsity(due)
