"""How the weights of one rule are pruned: one component of each family."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from secateur.components.criteria import Criterion
from secateur.components.distributions import Distribution
from secateur.components.patterns import Pattern
from secateur.components.schedules import Schedule


@dataclass(frozen=True)
class Method:
    """How the weights of one rule are pruned, every setting known."""

    schedule: Schedule
    criterion: Criterion
    pattern: Pattern
    distribution: Distribution

    @property
    def final(self) -> float:
        """The sparsity that it ends at: the pattern's, where that fixes one."""
        return self.target(self.schedule.final)

    def target(self, scheduled: float) -> float:
        """Return the target when the schedule says `scheduled`; a pattern may fix it."""
        fixed = self.pattern.fixed_sparsity
        return scheduled if fixed is None else float(fixed)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as tables of a policy file."""
        return {field.name: getattr(self, field.name).to_dict() for field in fields(self)}
