"""The hooks by which plugins, and our own built-ins, extend secateur.

A plugin is a module or an object with functions of these names, each marked with
``@secateur.hookimpl``, announced by an entry point of the group ``secateur`` or registered
in code with ``secateur.register``.  Hooks that return something are called once, when the
plugin is registered; `secateur_layer_weights` and `secateur_masks_updated` while it works.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pluggy

from secateur.adapter import Adapter, LayerWeight
from secateur.components.criteria import Criterion
from secateur.components.distributions import Distribution
from secateur.components.patterns import Pattern
from secateur.components.schedules import Schedule
from secateur.hooks.events import MasksUpdated
from secateur.hooks.exporter import Exporter
from secateur.kinds import Kind

PROJECT = "secateur"
HOOK_VERSION = 1
"""Counts the changes of these hooks that break plugins; a plugin may say which it wants."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def secateur_adapters() -> Iterable[Adapter]:
    """Return adapters, one for each framework.  Must not import the framework."""


@hookspec
def secateur_schedules() -> Iterable[type[Schedule]]:
    """Return schedule classes; their `kind` is the name in a policy file."""


@hookspec
def secateur_criteria() -> Iterable[type[Criterion]]:
    """Return criterion classes; their `kind` is the name in a policy file."""


@hookspec
def secateur_patterns() -> Iterable[type[Pattern]]:
    """Return pattern classes; their `kind` is the name in a policy file."""


@hookspec
def secateur_distributions() -> Iterable[type[Distribution]]:
    """Return distribution classes; their `kind` is the name in a policy file."""


@hookspec
def secateur_kinds() -> Iterable[Kind]:
    """Return kinds of weights; their names work in ``match.kind`` and in `LayerWeight`."""


@hookspec
def secateur_layer_weights(adapter: str, layer: object) -> Sequence[LayerWeight] | None:
    """Return the prunable weights of a custom layer, or None for a layer you do not know.

    adapter: the adapter's name, such as "keras" or "torch".  An empty list says that the
    layer is known and has nothing to prune.
    """


@hookspec
def secateur_exporters() -> Iterable[Exporter]:
    """Return exporters, which write a pruned model's weights in another form."""


@hookspec
def secateur_masks_updated(event: MasksUpdated) -> None:
    """Observe new masks, after they were computed and before they are put in force."""
