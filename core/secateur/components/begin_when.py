"""A start that waits for training: ``begin_when`` of a schedule.

The schedule begins once a monitored value has stopped improving, no earlier than its
`begin_step` and no later than `latest`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, isfinite
from typing import Annotated, Literal

from pydantic import Field

from secateur.components.component import Table
from secateur.components.values import Step

LONGEST_WINDOW = 100_000
"""How many values a window may have: a state holds two of them for each rule."""


class BeginWhen(Table):
    """Wait until the mean of `monitor` over a window is hardly better than the window before.

    With ``a`` the mean of the last `window` values and ``b`` that of the `window` values
    before them, it has converged when ``b - a < min_delta`` (``a - b`` for ``mode="max"``).
    While one of these values is NaN or infinite it has not converged.

    Attributes:
        monitor: The name of the value, as `Pruner.observe` receives it.
        window: How many values are averaged, at most 100,000.
        min_delta: The improvement from window to window below which the schedule begins.
        mode: ``min`` where lower values are better, ``max`` where higher ones are.
        latest: The step at which the schedule begins whatever the values are.

    Example:
        >>> when = BeginWhen(monitor="loss", window=2, min_delta=0.1)
        >>> when.converged([3.0, 2.0, 1.0, 1.0]), when.converged([1.0, 1.0, 1.0, 0.95])
        (False, True)

    """

    monitor: Annotated[str, Field(min_length=1)]
    window: Annotated[int, Field(ge=1, le=LONGEST_WINDOW)] = 200
    min_delta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.001
    mode: Literal["min", "max"] = "min"
    latest: Step | None = None

    def converged(self, values: Sequence[float]) -> bool:
        """Return whether the last ``2 * window`` values have stopped improving.

        Args:
            values: The values so far, the latest one last.

        """
        last = values[-2 * self.window :]
        if len(last) < 2 * self.window or not all(map(isfinite, last)):
            return False
        before, after = _mean(last[: self.window]), _mean(last[self.window :])
        gain = before - after if self.mode == "min" else after - before
        return gain < self.min_delta


def _mean(values: Sequence[float]) -> float:
    try:
        return fsum(values) / len(values)
    except OverflowError:  # the sum is too large for a float, the mean is not
        return fsum(value / len(values) for value in values)
