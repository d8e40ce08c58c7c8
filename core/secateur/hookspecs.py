"""The hooks by which plugins, and our own built-ins, extend secateur.

A plugin is a module or an object with functions of these names, each marked with
``@secateur.hookimpl``, announced by an entry point of the group ``secateur`` or registered
in code with ``secateur.register``.  Hooks that return something are called once, when the
plugin is registered; `secateur_bindings` and `secateur_masks_updated` while it works.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from secateur.adapter import Adapter, LayerWeight
    from secateur.criteria import Criterion
    from secateur.distributions import Distribution
    from secateur.events import MasksUpdated
    from secateur.exporters import Exporter
    from secateur.patterns import Pattern
    from secateur.schedules import Schedule

PROJECT = "secateur"
HOOK_VERSION = 1
"""Counts the changes of these hooks that break plugins; a plugin may say which it wants."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def secateur_adapters() -> Iterable[Adapter]:
    """Return adapters, one for each framework.  Must not import the framework."""
    raise NotImplementedError


@hookspec
def secateur_schedules() -> Iterable[type[Schedule]]:
    """Return schedule classes; their `kind` is the name in a policy file."""
    raise NotImplementedError


@hookspec
def secateur_criteria() -> Iterable[type[Criterion]]:
    """Return criterion classes; their `kind` is the name in a policy file."""
    raise NotImplementedError


@hookspec
def secateur_patterns() -> Iterable[type[Pattern]]:
    """Return pattern classes; their `kind` is the name in a policy file."""
    raise NotImplementedError


@hookspec
def secateur_distributions() -> Iterable[type[Distribution]]:
    """Return distribution classes; their `kind` is the name in a policy file."""
    raise NotImplementedError


@hookspec(firstresult=True)
def secateur_bindings(adapter: str, layer: object) -> Sequence[LayerWeight] | None:
    """Return the prunable weights of a custom layer, or None for a layer you do not know.

    adapter: the adapter's name, such as "keras" or "torch".  An empty list says that the
    layer is known and has nothing to prune.
    """
    raise NotImplementedError


@hookspec
def secateur_exporters() -> Iterable[Exporter]:
    """Return exporters, which write a pruned model's weights in another form."""
    raise NotImplementedError


@hookspec
def secateur_masks_updated(event: MasksUpdated) -> None:
    """Observe new masks, after they were computed and before they are put in force."""
    raise NotImplementedError
