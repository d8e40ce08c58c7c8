"""Errors of a policy's components at work: which plugin, hook, weights and step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from secateur.errors import PluginError, SecateurError


class Part(Protocol):
    """What an error names of a schedule, criterion, pattern or distribution."""

    @property
    def family(self) -> str:
        """The family, such as ``pattern``."""
        ...

    @property
    def kind(self) -> str:
        """The registered name, such as ``block``."""
        ...

    @property
    def hook(self) -> str:
        """The hook by which it is registered."""
        ...

    def provided_by(self) -> str:
        """Return the plugin that provides it, in words."""
        ...


MOST_NAMES = 8
"""Weights that an error names."""


@contextmanager
def attributed(part: Part, step: int, weights: Iterable[str]) -> Iterator[None]:
    """Turn any exception of a component into a PluginError that names it; our own errors pass."""
    try:
        yield
    except SecateurError:
        raise
    except Exception as error:  # whatever a plugin's code raises
        why = f"{type(error).__name__}: {error}"
        raise component_error(part, step, weights, why) from error


def component_error(part: Part, step: int, weights: Iterable[str], why: str) -> PluginError:
    """Return the error that says what a component did wrong, where, and who provides it."""
    return PluginError(
        f"plugin {part.provided_by()}, {part.hook} ({part.family} {part.kind!r}), "
        f"step {step}, weights {_listed(list(weights))}: {why}; nothing was changed"
    )


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
