"""The hooks by which plugins, and our own built-ins, extend secateur.

A plugin is a module or an object with functions of these names, each marked with
``@secateur.hookimpl``.  An entry point of the group ``secateur``, or ``secateur.register``,
registers it.  Most hooks are called once, at that time; `secateur_layer_weights` is called for
the layers of each model, `secateur_masks_updated` during a run, `secateur_page` for each page, and
`secateur_commands` when the program runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pluggy

from secateur.adapter import Adapter, LayerWeight, Workers
from secateur.components.criteria import Criterion
from secateur.components.distributions import Distribution
from secateur.components.patterns import Pattern
from secateur.components.schedule import Schedule
from secateur.hooks.events import MasksUpdated
from secateur.hooks.exporter import Exporter
from secateur.kinds import Kind

PROJECT = "secateur"
HOOK_VERSION = 1
"""The version of these hooks; a change that breaks plugins raises it by one."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Mark a function of a plugin as a hook; its name says which one.

Args:
    function: A function named as a hook, with all or some of the hook's arguments.

Returns:
    The function itself.

Example:
    >>> import secateur
    >>> class Plugin:
    ...     @secateur.hookimpl
    ...     def secateur_kinds(self):
    ...         return [secateur.Kind("capsule", ranks=(4,))]
    >>> secateur.register(Plugin(), "capsules")
    >>> secateur.unregister("capsules")

"""


@hookspec
def secateur_adapters() -> Iterable[Adapter]:
    """Return adapters, one for each framework; must not import the framework."""


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
    """Return the prunable weights of a custom layer, or None for an unknown one.

    Args:
        adapter: The adapter's name, such as ``keras`` or ``torch``.
        layer: A layer of a model.

    Returns:
        The weights; an empty list for a known layer with nothing to prune.

    """


@hookspec
def secateur_exporters() -> Iterable[Exporter]:
    """Return exporters, which write a pruned model's weights in another form."""


@hookspec
def secateur_masks_updated(event: MasksUpdated) -> None:
    """Observe new masks, after they were computed and before they are applied.

    Args:
        event: The step, the masks and their targets; nothing in it can be changed.

    """


@hookspec
def secateur_workers() -> Workers | None:
    """Return the processes that were started together with this one, or None if it is alone.

    Called when ``secateur prune`` runs; what is needed to reach the others is imported only then.
    """


@hookspec
def secateur_commands(app: Any) -> None:
    """Add commands to the program ``secateur``; called only when it runs.

    Args:
        app: A `typer.Typer`, empty at first.

    """


@hookspec
def secateur_page(recording: Any, against: Any, notes: Sequence[str]) -> str | None:
    """Return a recorded run as one HTML page that needs nothing else, or None.

    Args:
        recording: A `secateur.Recording`.
        against: Another one that it is compared with, or None.
        notes: What the reader should know besides.

    """
