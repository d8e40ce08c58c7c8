"""The types of a component's fields: sparsities, steps, and percentages of the run."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, SupportsIndex

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from secateur.errors import PolicyError, shown

_QUOTED_NUMBER = re.compile(r"\s*(\d{0,3}\.?\d{1,12}(?:[eE]-?\d{1,2})?)\s*(%?)\s*", re.ASCII)


class MeantError(ValueError):
    """A value is wrong, and another one was meant.

    Args:
        text: What is wrong.
        meant: The value that was meant.

    """

    def __init__(self, text: str, meant: Any) -> None:
        super().__init__(text)
        self.meant = meant


def _fraction(value: Any) -> Any:
    """Refuse a sparsity that is written as a percentage, and name the fraction."""
    if isinstance(value, str) and (parts := _QUOTED_NUMBER.fullmatch(value)):
        number = Decimal(parts[1])
        meant = number / 100 if parts[2] or number > 1 else number
    elif isinstance(value, (int, float)) and 2 <= value <= 100:
        meant = Decimal(str(float(value))) / 100
    else:
        return float(value) if isinstance(value, float) else value  # of NumPy's kind, too
    if meant > 1:
        return value
    wrong = "a valid number" if isinstance(value, str) else "less than or equal to 1"
    raise MeantError(
        f"{shown(value)}: input should be {wrong}; a sparsity is a fraction: "
        f"write {meant.normalize():f}",
        float(meant),
    )


Sparsity = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(_fraction)]
"""The type of a field that holds a sparsity: the fraction of weights that are zero, from 0 to 1.

Raises:
    PolicyError: A policy holds another value, such as 80 or ``"80%"`` for 0.8.

Example:
    >>> class Half(secateur.Schedule):
    ...     kind = "half"
    ...     final_sparsity: secateur.Sparsity = 0.5

"""

LARGEST_STEP = 2**63 - 1
"""The highest step that a saved state can hold."""


class Percent(str):
    """A step given as a share of the whole run, such as ``"10%"``.

    Example:
        >>> Percent("12.5%").of(1000), Percent("12.5%").share
        (125, Fraction(1, 8))

    """

    __slots__ = ()
    PATTERN = re.compile(r"(?:100(?:\.0+)?|\d{1,2}(?:\.\d+)?)%", re.ASCII)

    @property
    def share(self) -> Fraction:
        """The share of the run, from 0 to 1."""
        return Fraction(self[:-1]) / 100

    def of(self, total_steps: int) -> int:
        """Return the step, rounded half to even."""
        return round(total_steps * self.share)


def whole(value: object) -> int | None:
    """Return an integer of Python or NumPy as an int; None for anything else.

    Example:
        >>> whole(3), whole(True), whole(3.0), whole("3")
        (3, None, None, None)

    """
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        return None
    try:
        return value.__index__()
    except TypeError:  # an array of several values, or of other numbers
        return None


def checked_total_steps(total_steps: object) -> int | None:
    """Return the length of a run as an int, or None when it is not given.

    Raises:
        PolicyError: It is no positive integer.

    Example:
        >>> checked_total_steps("100")
        Traceback (most recent call last):
        secateur.errors.PolicyError: total_steps='100' must be a positive integer: the number of ...

    """
    if total_steps is None:
        return None
    steps = whole(total_steps)
    if steps is None or not 0 < steps <= LARGEST_STEP:
        range_ = " below 2**63" if steps and steps > LARGEST_STEP else ""
        raise PolicyError(
            f"total_steps={shown(total_steps)} must be a positive integer{range_}: the number of "
            "optimizer updates of the whole run, which is epochs times batches per epoch"
        )
    return steps


def _step(value: Any) -> int | Percent:
    if isinstance(value, str):
        if Percent.PATTERN.fullmatch(value):
            # one spelling of each share, so that "10.0%" has the fingerprint of "10%"
            return Percent(f"{Decimal(value[:-1]).normalize():f}%")
    elif (step := whole(value)) is not None and 0 <= step <= LARGEST_STEP:
        return step
    raise ValueError(
        f'{shown(value)}: must be a step (an integer from 0) or a percentage of the run, like "10%"'
    )


def _end_step(value: Any) -> int | Percent:
    return -1 if whole(value) == -1 else _step(value)


_PERCENT_SCHEMA = {"type": "string", "pattern": f"^{Percent.PATTERN.pattern}$"}
Step = Annotated[
    int | Percent,
    PlainValidator(_step),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, _PERCENT_SCHEMA]}),
]
"""The type of a field that holds a step: an integer from 0, or a percentage of the run.

Percentages become integers when the run's `total_steps` is known.

Raises:
    PolicyError: A policy holds another value.

Example:
    >>> class Late(secateur.Gradual):
    ...     kind = "late"
    ...     pause_step: secateur.Step = "50%"

"""
EndStep = Annotated[
    int | Percent,
    PlainValidator(_end_step),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": -1}, _PERCENT_SCHEMA]}),
]
"""The type of a field that holds a last step: as `Step`, or -1 for no end.

Raises:
    PolicyError: A policy holds another value.

Example:
    >>> class Forever(secateur.Periodic):
    ...     kind = "forever"
    ...     rest_step: secateur.EndStep = -1

"""
