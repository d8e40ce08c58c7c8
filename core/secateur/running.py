"""Errors of the parts of a policy at work: which plugin, hook, weights and step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from secateur.component import Component
from secateur.contributions import FAMILIES
from secateur.errors import PluginError, SecateurError
from secateur.registry import registry


@contextmanager
def running(part: Component, step: int, weights: Iterable[str]) -> Iterator[None]:
    """Turn whatever a schedule, criterion, pattern or distribution raises into a PluginError.

    Our own errors pass as they are.
    """
    try:
        yield
    except SecateurError:
        raise
    except Exception as error:  # whatever a plugin's code raises
        why = f"{type(error).__name__}: {error}"
        raise fault(part, step, weights, why) from error


def fault(part: Component, step: int, weights: Iterable[str], why: str) -> PluginError:
    """Return the error that says what a part did wrong, where, and whose part it is."""
    family = getattr(part, "family", "")
    return PluginError(
        f"plugin {registry().owner(type(part))}, {FAMILIES[family]} ({family} {part.kind!r}), "
        f"step {step}, weights {', '.join(weights)}: {why}; nothing was changed"
    )
