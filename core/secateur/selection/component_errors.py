"""Errors of a policy's components at work: which plugin, hook, weights and step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from secateur.errors import PluginCode, PluginError, listed


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
"""How many weights an error names."""


def attributed(part: Part, step: int | None = None, weights: Iterable[str] = ()) -> PluginCode:
    """Turn any exception of a component into a PluginError that names it; our own errors pass.

    Args:
        part: The component whose code the block runs.
        step: How many updates were finished; None outside a run.
        weights: The names of the weights that are pruned.

    Example:
        >>> from secateur.components.criteria import Magnitude
        >>> with attributed(Magnitude(), 3, ["fc"]):
        ...     1 / 0
        Traceback (most recent call last):
        secateur.errors.PluginError: plugin ..., secateur_criteria (criterion 'magnitude'), ...

    """
    return PluginCode(lambda why: _message(part, step, weights, why))


def component_error(part: Part, step: int | None, weights: Iterable[str], why: str) -> PluginError:
    """Return the error that says what a component did wrong, where, and who provides it."""
    return PluginError(_message(part, step, weights, why))


def _message(part: Part, step: int | None, weights: Iterable[str], why: str) -> str:
    names = list(weights)
    where = "" if step is None else f", step {step}"
    where += f", weights {listed(names, MOST_NAMES)}" if names else ""
    return (
        f"plugin {part.provided_by()}, {part.hook} ({part.family} {part.kind!r}){where}: {why}; "
        "nothing was changed"
    )
