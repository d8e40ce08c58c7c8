"""The bases of schedules that recompute masks every so many steps."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Protocol, Self

from pydantic import Field, model_validator

from secateur.components.schedule import Schedule, as_int, is_before, whole_step, written
from secateur.components.values import EndStep, Percent, Sparsity, Step

FREQUENCY = 100
"""The steps between two updates of the masks, at most, where a policy leaves them open."""


class HasFrequency(Protocol):
    """A schedule with a frequency that a policy may leave open."""

    @property
    def frequency(self) -> int | None:
        """The steps between two updates."""
        ...


def fill_frequency(schedule: HasFrequency, length: int) -> None:
    """Set a frequency that was left open, given the length in steps; 0 means no end."""
    if schedule.frequency is None:
        suitable = min(FREQUENCY, max(1, length // 10)) if length else FREQUENCY
        object.__setattr__(schedule, "frequency", suitable)  # frozen, and not yet handed out


class Periodic(Schedule):
    """The base of schedules that recompute masks every `frequency` steps.

    Masks are recomputed at step ``t`` when ``begin_step <= t``, (``end_step == -1`` or
    ``t <= end_step``) and ``(t - begin_step) % frequency == 0``, and at ``t == end_step``.

    Attributes:
        begin_step: The first step at which masks are computed.
        end_step: The last one; -1 for no end.
        frequency: The steps between two updates.  Left open, a tenth of the steps from
            `begin_step` to `end_step`, at least 1 and at most 100; 100 without an end.

    Example:
        >>> class Steady(Periodic):
        ...     kind = "steady"
        ...     final: ClassVar[float] = 0.5
        ...
        ...     def sparsity(self, step):
        ...         return 0.5
        >>> [t for t in range(50) if Steady(end_step=25, frequency=10).updates_at(t)]
        [0, 10, 20, 25]

    """

    begin_step: Step = 0
    end_step: EndStep = -1
    frequency: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _fits_its_steps(self) -> Self:
        begin, end = self.begin_step, self.end_step
        if end != -1 and is_before(end, begin):
            raise ValueError(f"end_step = {written(end)} is before begin_step = {written(begin)}")
        if end == -1:
            fill_frequency(self, 0)
        elif not isinstance(begin, Percent) and not isinstance(end, Percent):
            fill_frequency(self, end - begin)
        return self

    def normalized(self) -> dict[str, Any]:
        return {"frequency": FREQUENCY, **self.to_dict()}

    def starting_at(self, step: int) -> Self:
        return super().starting_at(step if self.latest is None else min(step, self.latest))

    @property
    def earliest(self) -> int:
        return as_int(self, "begin_step", self.begin_step)

    @property
    def latest(self) -> int | None:
        end = as_int(self, "end_step", self.end_step)
        return None if end == -1 else end

    def updates_at(self, step: int) -> bool:
        step = whole_step(step)
        return self.last_update_between(step - 1, step) == step

    def last_update_between(self, after: int, upto: int) -> int | None:
        begin, end = self.earliest, self.latest
        last = upto if end is None else min(upto, end)
        if last < begin:
            return None
        if last != end:
            last -= (last - begin) % (self.frequency or FREQUENCY)
        return last if last > after else None


class Gradual(Periodic):
    """The base of schedules that go from one sparsity to another.

    A subclass writes `curve`, the sparsity at a progress strictly between 0 and 1; the
    boundaries are exact: `initial_sparsity` up to `begin_step`, `final_sparsity` from
    `end_step` on.  With ``begin_step == end_step`` it is one jump, at that step.

    Attributes:
        initial_sparsity: The sparsity up to `begin_step`; 0 by default.
        final_sparsity: The sparsity from `end_step` on.
        begin_step: The first step at which masks are computed; 0 by default.
        end_step: The last one.
        frequency: The steps between two updates.  Left open, a tenth of the steps from
            `begin_step` to `end_step`, at least 1 and at most 100.

    Example:
        >>> class Root(Gradual):
        ...     kind = "root"
        ...
        ...     def curve(self, progress):
        ...         return self.final_sparsity * progress**0.5
        >>> Root(final_sparsity=0.8, end_step=100).sparsity(25)
        0.4

    """

    initial_sparsity: Sparsity = 0.0
    final_sparsity: Sparsity
    end_step: Step

    @abstractmethod
    def curve(self, progress: float) -> float:
        """Return the sparsity on the way.

        Args:
            progress: ``(t - begin_step) / (end_step - begin_step)``, between 0 and 1.

        """

    @property
    def final(self) -> float:
        return self.final_sparsity

    def with_total_steps(self, total_steps: int | None) -> Self:
        resolved = super().with_total_steps(total_steps)
        if resolved.begin_step == resolved.end_step and self.begin_step != self.end_step:
            why = "it begins and ends at one step, so sparsity would jump; the run is too short"
            raise self._unfit(total_steps or 0, why)
        return resolved

    def sparsity(self, step: int) -> float:
        step = whole_step(step)
        begin = as_int(self, "begin_step", self.begin_step)
        end = as_int(self, "end_step", self.end_step)
        if step >= end:
            return self.final_sparsity
        if step <= begin:
            return self.initial_sparsity
        return self.curve((step - begin) / (end - begin))
