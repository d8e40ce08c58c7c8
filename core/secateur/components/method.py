"""How the weights of one rule are pruned: one component of each family."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from secateur.arrays.counts import exact
from secateur.components.criteria import Criterion, Regrowth
from secateur.components.distributions import Distribution
from secateur.components.patterns import FixedPattern, Pattern
from secateur.components.periodic import Periodic
from secateur.components.schedule import Schedule
from secateur.components.schedules import AcDc, KeepZeros
from secateur.errors import listed, shown
from secateur.selection.component_errors import attributed


@dataclass(frozen=True)
class Method:
    """How the weights of one rule are pruned, every setting known.

    Attributes:
        schedule: Which sparsity at which step.
        criterion: Which weights are kept.
        pattern: How weights are grouped.
        distribution: How the sparsity is shared among the weights.

    """

    schedule: Schedule
    criterion: Criterion
    pattern: Pattern
    distribution: Distribution

    @property
    def fixed_sparsity(self) -> float | None:
        """The sparsity that the pattern fixes, if it does."""
        with attributed(self.pattern):
            fixed = self.pattern.fixed_sparsity
            return None if fixed is None else float(fixed)

    @property
    def final(self) -> float:
        """The sparsity that it ends at: the pattern's, where that fixes one."""
        with attributed(self.schedule):
            final = self.schedule.final
        return self.target(final)

    @property
    def has_target(self) -> bool:
        """Whether the schedule says how many groups are pruned; the values say it otherwise."""
        return self.distribution.has_target and not self.keeps_zeros

    @property
    def keeps_zeros(self) -> bool:
        """Whether the masks are the zeros that weights hold already."""
        return isinstance(self.schedule, KeepZeros)

    @property
    def misfit(self) -> str | None:
        """Why its components make no sense together; None if they do."""
        if self.keeps_zeros:
            return None  # the distribution decides nothing
        with attributed(self.distribution):
            problem = self.distribution.misfit(self.criterion, self.pattern)
        return f"distribution {self.distribution.kind!r}: {problem}" if problem else None

    @property
    def decided_by(self) -> str:
        """What decides how sparse each weight ends where no target of its own does."""
        return "by zeros" if self.keeps_zeros else f"by {self.distribution.kind}"

    def share(self, scheduled: float) -> float:
        """Return how much of the final sparsity a schedule has reached, from 0 to 1.

        Args:
            scheduled: The sparsity that the schedule asks for.

        """
        final = exact(self.final)
        return float(exact(scheduled) / final) if final else 0.0

    def target(self, scheduled: float) -> float:
        """Return the target sparsity: the pattern's, where that fixes one.

        Args:
            scheduled: The sparsity that the schedule asks for.

        """
        fixed = self.fixed_sparsity
        return scheduled if fixed is None else fixed

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as tables of a policy file."""
        return {field.name: getattr(self, field.name).to_dict() for field in fields(self)}

    def normalized(self) -> dict[str, Any]:
        """Return the settings as the policy's fingerprint is made of them."""
        return {field.name: getattr(self, field.name).normalized() for field in fields(self)}


def regrowth_problem(method: Method) -> str | None:
    """Return why a criterion that regrows weights does not fit the others; None if it does.

    Args:
        method: How the weights of a rule are pruned.

    """
    criterion, schedule = method.criterion, method.schedule
    if not isinstance(criterion, Regrowth):
        return None
    kind = criterion.kind
    if isinstance(method.pattern, FixedPattern):
        return (
            f"criterion {kind!r} moves weights to anywhere in a weight, and pattern "
            f"{method.pattern.kind!r} keeps so many of each few; take pattern = "
            '"unstructured", "block" or "channel"'
        )
    if not isinstance(schedule, Periodic) or isinstance(schedule, AcDc):
        return (
            f"criterion {kind!r} moves weights at every update of the masks, and takes a constant "
            f"or gradual schedule, not {schedule.kind!r}"
        )
    if criterion.has_end and schedule.end_step == -1:
        return (
            f"criterion {kind!r} changes less and less up to the schedule's end_step, which is "
            f'not set: write such as end_step = "75%"'
        )
    return _part_problem(criterion)


def _part_problem(criterion: Regrowth) -> str | None:
    """Return what one of the criteria that make up another needs and does not get from it."""
    with attributed(criterion):
        parts = {"first": criterion.first, "drop": criterion.drop, "grow": criterion.grow}
        own = criterion.memory_dtypes()
    for name, part in parts.items():
        if not isinstance(part, Criterion):
            return f"criterion {criterion.kind!r}: {name} is {shown(part)}; wanted a criterion"
        with attributed(part):
            memory = part.memory_dtypes()
        lacks = [f"needs = {{{need!r}}}" for need in part.needs - criterion.needs]
        lacks += [f"memory[{key!r}]" for key in memory if own.get(key) != memory[key]]
        if lacks:
            return (
                f"criterion {criterion.kind!r} must have {listed(lacks, 3)} as its {name}, "
                f"criterion {part.kind!r}, has: what is kept of training is kept for the criterion "
                "of the rule"
            )
    return None
