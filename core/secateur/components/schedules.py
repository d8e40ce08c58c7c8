"""The built-in schedules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from secateur.components.periodic import FREQUENCY, Gradual, Periodic, fill_frequency
from secateur.components.schedule import Schedule, as_int, is_before, whole_step, written
from secateur.components.values import Percent, Sparsity, Step


class OneShot(Schedule):
    """Prune once, at `begin_step`, to `final_sparsity`.

    ``s(t) = final_sparsity``; masks are computed at ``t == begin_step`` only.

    Example:
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
        whole_step(step)
        return self.final_sparsity

    @property
    def earliest(self) -> int:
        return as_int(self, "begin_step", self.begin_step)

    def updates_at(self, step: int) -> bool:
        return whole_step(step) == self.earliest

    def last_update_between(self, after: int, upto: int) -> int | None:
        return self.earliest if after < self.earliest <= upto else None


class KeepZeros(Schedule):
    """Keep zero what is zero: the zeros that weights hold at step 0 are their masks, for ever.

    For a model that was pruned elsewhere and is trained on.  Nothing more is pruned, so that
    criterion and distribution decide nothing; a pattern is checked: whether the zeros lie as it
    says.  ``mask = (w != 0)`` at ``t == 0``.

    Example:
        >>> schedule = KeepZeros()
        >>> [t for t in range(100) if schedule.updates_at(t)]
        [0]

    """

    kind = "keep_zeros"

    @property
    def final(self) -> float:
        """The sparsity that it adds to that of the weights: none."""
        return 0.0

    def sparsity(self, step: int) -> float:
        whole_step(step)
        return 0.0

    def updates_at(self, step: int) -> bool:
        return whole_step(step) == 0

    def last_update_between(self, after: int, upto: int) -> int | None:
        return 0 if after < 0 <= upto else None


class Constant(Periodic):
    """Hold one sparsity, recomputing the masks every `frequency` steps.

    ``s(t) = final_sparsity``.  With ``end_step = -1`` masks follow the weights for ever.

    Example:
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
        whole_step(step)
        return self.final_sparsity


class Polynomial(Gradual):
    """Fast at first, then slower: the cubic ramp of gradual magnitude pruning.

    ``s(t) = final + (initial - final) * (1 - (t - begin) / (end - begin)) ** power``

    Source: Zhu and Gupta 2017, "To prune, or not to prune", arXiv 1710.01878.

    Example:
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

    Example:
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

    Example:
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

    Example:
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


class AcDc(Periodic):
    """Alternate compressed phases, under masks, and decompressed ones, where all weights train.

    Dense up to `begin_step`.  There the first compressed phase begins: masks are computed at
    `final_sparsity`.  After `frequency` steps they are lifted, weights that were pruned train
    again from +0.0, and after as many steps masks are computed anew; and so on.  At `end_step`
    masks are computed for the last time, so that the run ends compressed.

    ``s(t) = final_sparsity`` where ``(t - begin_step) // frequency`` is even and from `end_step`
    on, else 0.  Source: Peste et al. 2021, "AC/DC: Alternating Compressed/DeCompressed Training
    of Deep Neural Networks", arXiv 2106.12379.

    Attributes:
        final_sparsity: The sparsity of the compressed phases.
        begin_step: The end of the dense warm-up.
        end_step: The step at which the last compressed phase begins, at the latest.
        frequency: The steps of a phase.  Left open, a tenth of the steps from `begin_step` to
            `end_step`, at least 1.

    Example:
        >>> schedule = AcDc(final_sparsity=0.9, begin_step=10, end_step=50, frequency=15)
        >>> [(t, schedule.sparsity(t)) for t in range(100) if schedule.updates_at(t)]
        [(10, 0.9), (25, 0.0), (40, 0.9), (50, 0.9)]

    """

    kind = "ac_dc"
    final_sparsity: Sparsity
    begin_step: Step
    end_step: Step

    @model_validator(mode="after")
    def _fits_its_steps(self) -> Self:
        begin, end = self.begin_step, self.end_step
        if begin == 0:
            raise ValueError("begin_step = 0: a run begins dense; set begin_step = 1 or later")
        if is_before(end, begin):
            raise ValueError(f"end_step = {written(end)} is before begin_step = {written(begin)}")
        if isinstance(begin, Percent) or isinstance(end, Percent):
            return self
        if self.frequency is None:
            object.__setattr__(self, "frequency", max(1, (end - begin) // 10))  # not handed out yet
        if self.begin_when is None and end - begin <= (self.frequency or 0):
            raise ValueError(
                f"no decompressed phase begins before end_step = {end}: begin_step = {begin} and "
                f"frequency = {self.frequency}; a shorter phase, or a one_shot schedule, does"
            )
        return self

    def normalized(self) -> dict[str, Any]:
        return self.to_dict()

    @property
    def final(self) -> float:
        return self.final_sparsity

    def sparsity(self, step: int) -> float:
        step = whole_step(step)
        begin, end = self.earliest, as_int(self, "end_step", self.end_step)
        if begin <= step < end:
            is_compressed = (step - begin) // (self.frequency or 1) % 2 == 0
        else:
            is_compressed = step >= end
        return self.final_sparsity if is_compressed else 0.0


Point = Annotated[tuple[Step, Sparsity], Field(strict=False)]


class Piecewise(Schedule):
    """Go through given points, in straight lines or in jumps.

    Between two points ``(t0, s0)`` and ``(t1, s1)``: ``s(t) = s0 + (s1 - s0) * (t - t0) /
    (t1 - t0)`` (``interpolation = "linear"``) or ``s0`` (``"constant"``).  Masks are
    recomputed at every point and, between the first and the last, every `frequency` steps.

    Attributes:
        points: Pairs of a step and a sparsity; the steps increase.
        frequency: The steps between two updates.  Left open, a tenth of the steps from the
            first point to the last, at least 1 and at most 100.
        interpolation: How to go from one point to the next.

    Example:
        >>> schedule = Piecewise(points=[(100, 0.2), (200, 0.6)], frequency=50)
        >>> [round(schedule.sparsity(t), 4) for t in (100, 150, 200)]
        [0.2, 0.4, 0.6]
        >>> [t for t in range(300) if schedule.updates_at(t)]
        [100, 150, 200]

    """

    kind = "piecewise"
    points: Annotated[tuple[Point, ...], Field(strict=False, json_schema_extra={"minItems": 1})]
    frequency: Annotated[int, Field(ge=1)] | None = None
    interpolation: Literal["linear", "constant"] = "linear"
    begin_when: None = None

    @field_validator("points")
    @classmethod
    def _has_points(cls, points: tuple[Point, ...]) -> tuple[Point, ...]:
        if not points:
            raise ValueError("wanted at least one point, [step, sparsity]")
        return points

    @model_validator(mode="after")
    def _steps_increase(self) -> Self:
        steps = [step for step, _ in self.points]
        shares = [step for step in steps if isinstance(step, Percent)]
        whole_steps = [step for step in steps if not isinstance(step, Percent)]
        comparable: tuple[Sequence[int | Percent], ...] = (shares, whole_steps)
        for series in comparable:
            for step, following in pairwise(series):
                if not is_before(step, following):
                    raise ValueError(
                        f"the steps of points must increase, and {written(following)} comes after "
                        f"{written(step)}"
                    )
        if not shares:
            fill_frequency(self, whole_steps[-1] - whole_steps[0])
        return self

    def normalized(self) -> dict[str, Any]:
        return {"frequency": FREQUENCY, **self.to_dict()}

    @property
    def final(self) -> float:
        return self.points[-1][1]

    def _resolved(self) -> list[tuple[int, float]]:
        return [(as_int(self, "points", step), value) for step, value in self.points]

    def sparsity(self, step: int) -> float:
        step = whole_step(step)
        points = self._resolved()
        if step <= points[0][0]:
            return points[0][1]
        for (t0, s0), (t1, s1) in pairwise(points):
            if step < t1:
                share = (step - t0) / (t1 - t0) if self.interpolation == "linear" else 0.0
                return s0 + (s1 - s0) * share
        return points[-1][1]

    def updates_at(self, step: int) -> bool:
        step = whole_step(step)
        return self.last_update_between(step - 1, step) == step

    def last_update_between(self, after: int, upto: int) -> int | None:
        steps = [step for step, _ in self._resolved()]
        last = min(upto, steps[-1])
        if last < steps[0]:
            return None
        periodic = last - (last - steps[0]) % (self.frequency or FREQUENCY)
        found = max(periodic, *(step for step in steps if step <= last))
        return found if found > after else None
