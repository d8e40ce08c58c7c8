"""A criterion of a plugin that fails when it is told to, and an observer that remembers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from secateur.components.criteria import Criterion
from secateur.hooks.events import MasksUpdated
from secateur.hooks.hookspecs import hookimpl
from secateur.hooks.registry import register, unregister
from secateur.layout import Array


class Fragile(Criterion):
    """Magnitude, or the exception that the test sets.

    Attributes:
        error: What to raise; None to work.

    """

    kind = "fragile_of_the_kit"
    elementwise = True
    error: ClassVar[Exception | None] = None

    def score(self, values: Array, context: Any) -> Array:
        if Fragile.error is not None:
            raise Fragile.error
        return np.abs(values)


@contextmanager
def fragile() -> Iterator[type[Fragile]]:
    """Register `Fragile` for a while."""
    register(SimpleNamespace(secateur_criteria=hookimpl(lambda: [Fragile])), "fragile-of-the-kit")
    try:
        yield Fragile
    finally:
        Fragile.error = None
        unregister("fragile-of-the-kit")


@contextmanager
def observed() -> Iterator[list[MasksUpdated]]:
    """Register an observer for a while; give the events that it hears."""
    events: list[MasksUpdated] = []
    hear = SimpleNamespace(secateur_masks_updated=hookimpl(lambda event: events.append(event)))
    register(hear, "observer-of-the-kit")
    try:
        yield events
    finally:
        unregister("observer-of-the-kit")
