"""What users give to the methods of a pruner, checked."""

from __future__ import annotations

import operator
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from secateur.errors import StateError, shown
from secateur.run.saved.state import MOST_STEPS


def number_of_updates(updates: Any, after: int) -> int:
    """Return a number of updates, if it is one.

    Args:
        updates: What was given to `Pruner.step`.
        after: The step that it is added to.

    Raises:
        StateError: It is no number of updates, or too large.

    """
    try:
        count = operator.index(None if isinstance(updates, bool) else updates)  # type: ignore[arg-type]
    except TypeError:
        raise StateError(f"step(updates={shown(updates)}): wanted an integer from 0") from None
    if count < 0:
        raise StateError(
            f"step(updates={shown(updates)}): steps only go on; load a state to go back"
        )
    if after + count >= MOST_STEPS:
        raise StateError(
            f"step(updates={shown(updates)}) after step {after}: steps are below 2**62"
        )
    return count


def observed_numbers(values: Mapping[str, Any], monitored: Collection[str]) -> dict[str, float]:
    """Return observed values as floats, by name in order; collections that nothing monitors go.

    Args:
        values: What was given to `Pruner.observe`.
        monitored: The names that schedules monitor.

    Raises:
        StateError: A value is not a number.

    """
    return {
        name: _number(name, value)
        for name, value in sorted(values.items())
        if name in monitored or not _is_collection(value)
    }


def path_of(path: Any) -> Path:
    """Return a path, if it is one.

    Raises:
        StateError: It is none.

    """
    if not isinstance(path, (str, os.PathLike)):
        raise StateError(f"{shown(path)} is no path of a file")
    return Path(path)


def _is_collection(value: Any) -> bool:
    return isinstance(value, (list, tuple, Mapping)) or bool(getattr(value, "ndim", None))


def _number(name: str, value: Any) -> float:
    """Return an observed value as a float, if it is one number."""
    is_number = not isinstance(value, (str, bytes, bool)) and not getattr(value, "ndim", None)
    try:
        return float(value if is_number else None)  # type: ignore[arg-type]
    except Exception:  # whatever the class of the value raises
        raise StateError(f"observe({name}={shown(value)}): wanted one number") from None
