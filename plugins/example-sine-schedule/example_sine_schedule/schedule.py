"""The schedule.  Its fields are its keys in a policy file."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

import secateur


class Sine(secateur.Gradual):
    """Rise like the first quarter of a sine: fast at first, level at the end.

    ``s(t) = initial + (final - initial) * sin(pi/2 * (t - begin) / (end - begin)) ** power``

    Attributes:
        power: Above 1 it rises more slowly at first.

    Example:
        >>> schedule = Sine(final_sparsity=0.8, end_step=100)
        >>> [round(schedule.sparsity(t), 4) for t in (0, 50, 100)]
        [0.0, 0.5657, 0.8]

    """

    kind = "sine"
    power: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = 1.0

    def curve(self, progress: float) -> float:
        rise = math.pow(math.sin(math.pi / 2 * progress), self.power)
        return self.initial_sparsity + (self.final_sparsity - self.initial_sparsity) * rise
