"""Errors of the parts of a policy at work: which plugin, hook, weights and step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from secateur.errors import PluginError, SecateurError


class Part(Protocol):
    """What an error must know of a schedule, criterion, pattern or distribution."""

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


@contextmanager
def attributed(part: Part, step: int, weights: Iterable[str]) -> Iterator[None]:
    """Turn any exception of a part into a PluginError that names it; our own errors pass."""
    try:
        yield
    except SecateurError:
        raise
    except Exception as error:  # whatever a plugin's code raises
        why = f"{type(error).__name__}: {error}"
        raise component_error(part, step, weights, why) from error


def component_error(part: Part, step: int, weights: Iterable[str], why: str) -> PluginError:
    """Return the error that says what a part did wrong, where, and who provides it."""
    return PluginError(
        f"plugin {part.provided_by()}, {part.hook} ({part.family} {part.kind!r}), "
        f"step {step}, weights {', '.join(weights)}: {why}; nothing was changed"
    )
