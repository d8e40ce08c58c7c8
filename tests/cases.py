"""How much of a long list of cases is gone through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import settings

T = TypeVar("T")


def some(cases: Sequence[T], most: int) -> Sequence[T]:
    """Return at most `most` of some cases, evenly spaced; with ``--all``, as in CI, each."""
    if settings.get_current_profile_name() != "quick":
        return cases
    return cases[:: -(-len(cases) // most)]
