"""A start that waits for training: ``begin_when`` of a schedule.

The schedule begins once a monitored value has stopped improving, no earlier than its
`begin_step` and no later than `latest`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import Annotated, Literal

from pydantic import Field

from secateur.components.component import Step, Table


class BeginWhen(Table):
    """Wait until the mean of `monitor` over a window is hardly better than the window before.

    With ``a`` the mean of the last `window` values and ``b`` that of the `window` values
    before them, it has converged when ``b - a < min_delta`` (``a - b`` for ``mode="max"``).

    >>> when = BeginWhen(monitor="loss", window=2, min_delta=0.1)
    >>> when.converged([3.0, 2.0, 1.0, 1.0]), when.converged([1.0, 1.0, 1.0, 0.95])
    (False, True)
    """

    monitor: str
    window: Annotated[int, Field(ge=1)] = 200
    min_delta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.001
    mode: Literal["min", "max"] = "min"
    latest: Step | None = None

    def converged(self, values: Sequence[float]) -> bool:
        """Tell whether the last ``2 * window`` values have stopped improving."""
        if len(values) < 2 * self.window:
            return False
        before = fsum(values[-2 * self.window : -self.window]) / self.window
        after = fsum(values[-self.window :]) / self.window
        gain = before - after if self.mode == "min" else after - before
        return gain < self.min_delta
