"""The base of schedules: which sparsity at which step, and when masks are recomputed.

A schedule is a frozen value with pure functions, above all ``sparsity(step)`` and
``updates_at(step)``; a step is the number of optimizer updates finished.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

from pydantic import model_validator

from secateur.components.begin_when import BeginWhen
from secateur.components.component import Component
from secateur.components.values import Percent, whole
from secateur.errors import PolicyError, shown

SEARCHED = 100_000
"""How many steps at each end of a range are searched for updates, without a formula for them."""


class Schedule(Component):
    """The base of all schedules.

    A subclass has the property `final` and the functions `sparsity` and `updates_at`; those
    that go gradually from one sparsity to another are easier to write on `Gradual`.  Its
    fields are its keys in a policy.

    Attributes:
        begin_when: What the schedule waits for before it begins; None begins at its first step.

    Example:
        >>> from secateur import Step
        >>> class Jump(Schedule):
        ...     kind = "jump"
        ...     at: Step = 100
        ...
        ...     @property
        ...     def final(self):
        ...         return 0.5
        ...
        ...     def sparsity(self, step):
        ...         return 0.5 if step >= self.at else 0.0
        ...
        ...     def updates_at(self, step):
        ...         return step == self.at
        >>> Jump(at="10%").with_total_steps(500).last_update(500)
        50

    """

    family: ClassVar[str] = "schedule"
    hook: ClassVar[str] = "secateur_schedules"
    begin_when: BeginWhen | None = None

    @classmethod
    def __pydantic_init_subclass__(cls, **settings: Any) -> None:
        super().__pydantic_init_subclass__(**settings)
        if "updates_at" in vars(cls) and "last_update_between" not in vars(cls):
            # the formula of a base class does not know when this class updates
            cls.last_update_between = Schedule.last_update_between  # type: ignore[method-assign]

    @model_validator(mode="after")
    def _can_wait(self) -> Self:
        if self.begin_when is None:
            return self
        begin = getattr(self, "begin_step", None)
        if begin is None and type(self).starting_at is Schedule.starting_at:
            raise ValueError(f"begin_when: a {self.kind} schedule has no begin_step to wait after")
        latest, end = self.begin_when.latest, getattr(self, "end_step", -1)
        if latest is not None and begin is not None and is_before(latest, begin):
            raise ValueError(
                f"begin_when.latest = {written(latest)} is before begin_step = {written(begin)}"
            )
        if latest is not None and end != -1 and is_before(end, latest):
            raise ValueError(
                f"begin_when.latest = {written(latest)} is after end_step = {written(end)}"
            )
        return self

    @property
    @abstractmethod
    def final(self) -> float:
        """The sparsity that the schedule ends at."""

    @abstractmethod
    def sparsity(self, step: int) -> float:
        """Return the target sparsity at a step.

        Args:
            step: The number of optimizer updates finished.

        """

    @abstractmethod
    def updates_at(self, step: int) -> bool:
        """Return whether masks are recomputed at a step.

        Args:
            step: The number of optimizer updates finished.

        """

    @property
    def earliest(self) -> int:
        """The first step at which ``begin_when`` may come true."""
        return 0

    @property
    def latest(self) -> int | None:
        """The step at which a schedule that waits begins at the latest, if there is one."""
        return None

    def last_update(self, total_steps: int) -> int | None:
        """Return the last step up to `total_steps` at which masks are recomputed, if any.

        Args:
            total_steps: The step to look back from.

        """
        return self.last_update_between(-1, total_steps)

    def last_update_between(self, after: int, upto: int) -> int | None:
        """Return the last step of a range at which masks are recomputed, or None without one.

        The built-in schedules, and those on `Periodic` that keep its `updates_at`, know it by a
        formula.  Others are asked step by step: the last 100,000 steps of the range, then its
        first 100,000; a schedule whose updates may lie elsewhere overrides this method.

        Args:
            after: The step before the range.
            upto: The last step of the range.

        """
        split = max(after, upto - SEARCHED)
        for first, last in ((split, upto), (after, min(split, after + SEARCHED))):
            for step in range(last, first, -1):
                if self.updates_at(step):
                    return step
        return None

    def update_count(self, total_steps: int, most: int = 1000) -> int:
        """Return how often masks are recomputed up to a step, counted up to `most`.

        Args:
            total_steps: The last step that counts.
            most: Where counting ends, so that it takes no time in long runs.

        """
        count, step = 0, self.last_update(total_steps)
        while step is not None and count < most:
            count, step = count + 1, self.last_update(step - 1)
        return count

    def starting_at(self, step: int) -> Self:
        """Return the schedule that begins at a step, its ``begin_when`` having come true.

        Args:
            step: The number of optimizer updates finished.

        """
        return self._with({"begin_step": step, "begin_when": None})


def is_before(step: int | Percent, other: int | Percent) -> bool:
    """Return whether a step is before another in a run of any length."""
    if isinstance(step, Percent) and isinstance(other, Percent):
        return step.share < other.share
    if isinstance(step, Percent) or isinstance(other, Percent):
        return False  # the length of the run decides
    return step < other


def written(step: int | Percent) -> str:
    """Return a step as a policy file holds it."""
    return f'"{step}"' if isinstance(step, Percent) else str(step)


def as_int(schedule: Component, name: str, value: int | Percent) -> int:
    if isinstance(value, Percent):
        raise PolicyError(
            f'{schedule.kind} schedule: {name} = "{value}" needs the length of the run; '
            "call schedule.with_total_steps(n) first."
        )
    return value


def whole_step(step: object) -> int:
    if (found := whole(step)) is None:
        raise PolicyError(f"step {shown(step)}: a step is an integer, the number of updates")
    return found
