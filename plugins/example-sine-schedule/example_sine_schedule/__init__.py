"""A schedule that rises like a sine, and an observer that logs every change of masks."""

from __future__ import annotations

from example_sine_schedule.schedule import Sine

__all__ = ["Sine"]
