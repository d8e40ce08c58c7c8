"""A schedule that rises like a sine, a criterion with a memory, and an observer that logs."""

from __future__ import annotations

from example_sine_schedule.criterion import SteadySign
from example_sine_schedule.schedule import Sine

__all__ = ["Sine", "SteadySign"]
