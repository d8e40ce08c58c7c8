"""Schedules: which sparsity at which step, and when masks are recomputed.

A schedule is a frozen value with two pure functions, ``sparsity(step)`` and
``updates_at(step)``; a step is the number of optimizer updates finished.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from secateur.components.begin_when import BeginWhen
from secateur.components.component import Component, EndStep, Percent, Sparsity, Step
from secateur.errors import PolicyError


class Schedule(Component):
    """The base of all schedules.

    A subclass has the property `final` and the two functions.  Most are easier to write
    on `Gradual`, which needs one function only.
    """

    family: ClassVar[str] = "schedule"
    hook: ClassVar[str] = "secateur_schedules"
    begin_when: BeginWhen | None = None

    @property
    @abstractmethod
    def final(self) -> float:
        """The sparsity that the schedule ends at."""

    @abstractmethod
    def sparsity(self, step: int) -> float:
        """Return the target sparsity at a step."""

    @abstractmethod
    def updates_at(self, step: int) -> bool:
        """Tell whether masks are recomputed at a step."""

    @property
    def earliest(self) -> int:
        """The first step at which ``begin_when`` may come true."""
        return 0

    @property
    def latest(self) -> int | None:
        """The step at which a schedule that waits begins at the latest."""
        return None

    def last_update(self, total_steps: int) -> int | None:
        """Return the last step up to `total_steps` at which masks are recomputed, if any."""
        return next((t for t in range(total_steps, -1, -1) if self.updates_at(t)), None)

    def starting_at(self, step: int) -> Self:
        """Return the schedule that begins at `step`, its ``begin_when`` having come true."""
        return self.model_validate({**dict(self), "begin_step": step, "begin_when": None})


def _as_int(schedule: Component, name: str, value: int | Percent) -> int:
    if isinstance(value, Percent):
        raise PolicyError(
            f'{schedule.kind} schedule: {name} = "{value}" needs the length of the run; '
            "call schedule.with_total_steps(n) first."
        )
    return value


class OneShot(Schedule):
    """Prune once, at `begin_step`, to `final_sparsity`.

    ``s(t) = final_sparsity``; masks are computed at ``t == begin_step`` only.

    >>> schedule = OneShot(final_sparsity=0.8, begin_step=10)
    >>> [schedule.updates_at(t) for t in (9, 10, 11)], schedule.sparsity(10)
    ([False, True, False], 0.8)
    """

    kind = "one_shot"
    final_sparsity: Sparsity
    begin_step: Step = 0

    @property
    def final(self) -> float:
        return self.final_sparsity

    def sparsity(self, step: int) -> float:
        return self.final_sparsity

    @property
    def earliest(self) -> int:
        return _as_int(self, "begin_step", self.begin_step)

    def updates_at(self, step: int) -> bool:
        return step == self.earliest


class Periodic(Schedule):
    """The base of schedules that recompute masks every `frequency` steps.

    Masks are recomputed at step ``t`` when ``begin_step <= t``, (``end_step == -1`` or
    ``t <= end_step``) and ``(t - begin_step) % frequency == 0``, and at ``t == end_step``.
    """

    begin_step: Step = 0
    end_step: EndStep = -1
    frequency: Annotated[int, Field(ge=1)] = 100

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        begin, end = self.begin_step, self.end_step
        if isinstance(begin, int) and isinstance(end, int) and end != -1 and end < begin:
            raise ValueError(f"end_step = {end} is before begin_step = {begin}")
        return self

    def starting_at(self, step: int) -> Self:
        return super().starting_at(step if self.latest is None else min(step, self.latest))

    @property
    def earliest(self) -> int:
        return _as_int(self, "begin_step", self.begin_step)

    @property
    def latest(self) -> int | None:
        end = _as_int(self, "end_step", self.end_step)
        return None if end == -1 else end

    def updates_at(self, step: int) -> bool:
        begin = self.earliest
        end = _as_int(self, "end_step", self.end_step)
        if step < begin or (end != -1 and step > end):
            return False
        return step == end or (step - begin) % self.frequency == 0


class Constant(Periodic):
    """Hold one sparsity, recomputing the masks every `frequency` steps.

    ``s(t) = final_sparsity``.  With ``end_step = -1`` masks follow the weights for ever.

    >>> schedule = Constant(final_sparsity=0.5, begin_step=100, frequency=50)
    >>> [t for t in range(300) if schedule.updates_at(t)]
    [100, 150, 200, 250]
    """

    kind = "constant"
    final_sparsity: Sparsity

    @property
    def final(self) -> float:
        return self.final_sparsity

    def sparsity(self, step: int) -> float:
        return self.final_sparsity


class Gradual(Periodic):
    """The base of schedules that go from one sparsity to another.

    A subclass writes `curve`, the sparsity at a progress strictly between 0 and 1; the
    boundaries are exact: `initial_sparsity` up to `begin_step`, `final_sparsity` from
    `end_step` on.
    """

    initial_sparsity: Sparsity = 0.0
    final_sparsity: Sparsity
    end_step: Step

    @abstractmethod
    def curve(self, progress: float) -> float:
        """Return the sparsity at ``progress = (t - begin_step) / (end_step - begin_step)``."""

    @property
    def final(self) -> float:
        return self.final_sparsity

    def sparsity(self, step: int) -> float:
        begin = _as_int(self, "begin_step", self.begin_step)
        end = _as_int(self, "end_step", self.end_step)
        if step >= end:
            return self.final_sparsity
        if step <= begin:
            return self.initial_sparsity
        return self.curve((step - begin) / (end - begin))


class Polynomial(Gradual):
    """Fast at first, then slower: the cubic ramp of gradual magnitude pruning.

    ``s(t) = final + (initial - final) * (1 - (t - begin) / (end - begin)) ** power``

    Source: Zhu and Gupta 2017, "To prune, or not to prune", arXiv 1710.01878.

    >>> schedule = Polynomial(final_sparsity=0.8, begin_step=100, end_step=300)
    >>> [round(schedule.sparsity(t), 4) for t in (0, 100, 200, 300, 400)]
    [0.0, 0.0, 0.7, 0.8, 0.8]
    """

    kind = "polynomial"
    power: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3.0

    def curve(self, progress: float) -> float:
        initial, final = self.initial_sparsity, self.final_sparsity
        return final + (initial - final) * math.pow(1 - progress, self.power)


class Linear(Gradual):
    """The same amount every time.

    ``s(t) = final + (initial - final) * (1 - (t - begin) / (end - begin))``

    >>> schedule = Linear(final_sparsity=0.8, end_step=100)
    >>> [round(schedule.sparsity(t), 4) for t in (0, 25, 50, 100)]
    [0.0, 0.2, 0.4, 0.8]
    """

    kind = "linear"

    def curve(self, progress: float) -> float:
        initial, final = self.initial_sparsity, self.final_sparsity
        return final + (initial - final) * (1 - progress)


class Cosine(Gradual):
    """Slow at both ends.

    ``s(t) = final + (initial - final) * (1 + cos(pi * (t - begin) / (end - begin))) / 2``

    Source: the half cosine of Loshchilov and Hutter 2017 (SGDR, arXiv 1608.03983), used
    for the fraction of changed connections by Dettmers and Zettlemoyer 2019 (1907.04840).

    >>> schedule = Cosine(final_sparsity=0.8, end_step=100)
    >>> [round(schedule.sparsity(t), 4) for t in (0, 50, 100)]
    [0.0, 0.4, 0.8]
    """

    kind = "cosine"

    def curve(self, progress: float) -> float:
        initial, final = self.initial_sparsity, self.final_sparsity
        return final + (initial - final) * (1 + math.cos(math.pi * progress)) / 2


class Exponential(Gradual):
    """Remove the same share of what is left every time: the density decays geometrically.

    ``s(t) = 1 - (1 - initial) * ((1 - final) / (1 - initial)) ** ((t - begin) / (end - begin))``

    Both sparsities must be below 1.  Source: the constant pruning rate per round of
    Frankle and Carbin 2019, "The lottery ticket hypothesis", arXiv 1803.03635.

    >>> schedule = Exponential(final_sparsity=0.75, end_step=100)
    >>> [round(schedule.sparsity(t), 4) for t in (0, 50, 100)]
    [0.0, 0.5, 0.75]
    """

    kind = "exponential"

    @field_validator("initial_sparsity", "final_sparsity")
    @classmethod
    def _below_one(cls, value: float) -> float:
        if value >= 1:
            raise ValueError("must be below 1: a geometric decay never reaches density 0")
        return value

    def curve(self, progress: float) -> float:
        start, end = 1 - self.initial_sparsity, 1 - self.final_sparsity
        return 1 - start * math.pow(end / start, progress)


Point = Annotated[tuple[Step, Sparsity], Field(strict=False)]


class Piecewise(Schedule):
    """Go through given points, in straight lines or in jumps.

    Between two points ``(t0, s0)`` and ``(t1, s1)``: ``s(t) = s0 + (s1 - s0) * (t - t0) /
    (t1 - t0)`` (``interpolation = "linear"``) or ``s0`` (``"constant"``).  Masks are
    recomputed at every point and, between the first and the last, every `frequency` steps.

    >>> schedule = Piecewise(points=[(100, 0.2), (200, 0.6)], frequency=50)
    >>> [round(schedule.sparsity(t), 4) for t in (100, 150, 200)]
    [0.2, 0.4, 0.6]
    >>> [t for t in range(300) if schedule.updates_at(t)]
    [100, 150, 200]
    """

    kind = "piecewise"
    points: Annotated[tuple[Point, ...], Field(min_length=1, strict=False)]
    frequency: Annotated[int, Field(ge=1)] = 100
    interpolation: Literal["linear", "constant"] = "linear"
    begin_when: None = None

    @model_validator(mode="after")
    def _steps_increase(self) -> Self:
        steps = [step for step, _ in self.points if not isinstance(step, Percent)]
        if len(steps) == len(self.points) and any(a >= b for a, b in pairwise(steps)):
            raise ValueError("the steps of points must increase")
        return self

    @property
    def final(self) -> float:
        return self.points[-1][1]

    def _resolved(self) -> list[tuple[int, float]]:
        return [(_as_int(self, "points", step), value) for step, value in self.points]

    def sparsity(self, step: int) -> float:
        points = self._resolved()
        if step <= points[0][0]:
            return points[0][1]
        for (t0, s0), (t1, s1) in pairwise(points):
            if step < t1:
                share = (step - t0) / (t1 - t0) if self.interpolation == "linear" else 0.0
                return s0 + (s1 - s0) * share
        return points[-1][1]

    def updates_at(self, step: int) -> bool:
        steps = [point for point, _ in self._resolved()]
        if not steps[0] <= step <= steps[-1]:
            return False
        return step in steps or (step - steps[0]) % self.frequency == 0
