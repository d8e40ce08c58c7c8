"""Calls of plugins during a run: each failure is worded with the plugin, the hook and the place."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pluggy

from secateur.adapter import SINGLE, LayerWeight, Workers
from secateur.errors import PluginCode, PluginError, PluginWarning, in_words, listed, shown
from secateur.hooks.contributions import EXPORTER
from secateur.hooks.events import MasksUpdated
from secateur.hooks.exporter import Exporter
from secateur.hooks.layer_weights import layer_weights_problem
from secateur.hooks.loading import DISABLE
from secateur.hooks.plugin import Plugin
from secateur.hooks.registry import registry

T = TypeVar("T")


def layer_weights(adapter: str, layer: object) -> Sequence[LayerWeight] | None:
    """Return the prunable weights of a layer that a plugin knows, or None; for adapter authors.

    Args:
        adapter: The adapter's name, such as ``torch``.
        layer: A layer of a model.

    Raises:
        PluginError: A plugin fails, its answer does not fit the layer, or two plugins know it.

    Example:
        >>> layer_weights("numpy", object()) is None
        True

    """
    answers: dict[str, Sequence[LayerWeight]] = {}
    where = f"{type(layer).__name__} of the {adapter} adapter"
    for implementation in registry().manager.hook.secateur_layer_weights.get_hookimpls():
        with _blamed(implementation, where):
            answer = _call(implementation, adapter=adapter, layer=layer)
            problem = None if answer is None else layer_weights_problem(layer, answer)
        plugin = _plugin(implementation)
        if problem:
            raise PluginError(f"plugin {plugin}, secateur_layer_weights, {where}: {problem}")
        if answer is not None:
            answers[str(plugin)] = answer
    if len(answers) > 1:
        raise PluginError(
            f"two plugins give the weights of the layer {type(layer).__name__}: "
            f"{' and '.join(answers)}; disable one by {DISABLE}"
        )
    return next(iter(answers.values()), None)


class Observer(Protocol):
    """What `secateur.attach` and `secateur.prune` take as an observer of their run alone.

    Example:
        >>> import numpy, secateur
        >>> class Printer:
        ...     def secateur_masks_updated(self, event):
        ...         print(event.step, event.targets)
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> report = secateur.prune({"fc": numpy.eye(2)}, half, observers=[Printer()])
        0 {'fc': 0.5}

    """

    def secateur_masks_updated(self, event: MasksUpdated) -> None:
        """Observe new masks, after they were computed and before they are applied.

        Args:
            event: The step, the masks and their targets; nothing in it can be changed.

        """


def checked_observers(observers: Sequence[Observer]) -> tuple[Observer, ...]:
    """Return the observers that a user passed, if they are some.

    Raises:
        PluginError: One of them is no observer.

    """
    if not isinstance(observers, (list, tuple)):
        raise PluginError(
            f"observers={shown(observers)}: wanted a list, such as [secateur.Recorder(path)]"
        )
    for observer in observers:
        if isinstance(observer, type) or not callable(
            getattr(observer, "secateur_masks_updated", None)
        ):
            raise PluginError(
                f"observers: {shown(observer)} is no observer; wanted objects that have a "
                "method secateur_masks_updated(event), such as secateur.Recorder(path)"
            )
    return tuple(observers)


def commands(make: Callable[[], Any]) -> Iterator[tuple[Plugin, Any]]:
    """Yield each plugin that brings commands, and a program with them.

    Args:
        make: Makes an empty program, a `typer.Typer`.

    Warns:
        PluginWarning: A plugin failed; it is left out.

    """
    for implementation in registry().manager.hook.secateur_commands.get_hookimpls():
        plugin, app = _plugin(implementation), make()
        try:
            _call(implementation, app=app)
        except Exception as error:  # whatever a third party's code raises
            why = in_words(error)
            message = f"plugin {plugin}, secateur_commands: {why}; its commands are left out"
            warnings.warn(message, PluginWarning, stacklevel=2)
        else:
            yield plugin, app


def notify(event: MasksUpdated, observers: Sequence[Observer] = ()) -> None:
    """Call every observer of new masks: those that are registered, then those of the run.

    Raises:
        PluginError: One of them failed.

    """
    where = f"step {event.step}, weights {listed(event.masks)}"
    for implementation in registry().manager.hook.secateur_masks_updated.get_hookimpls():
        with _blamed(implementation, where):
            _call(implementation, event=event)
    for observer in observers:
        with _observer_blamed(observer, where):
            observer.secateur_masks_updated(event)


def page(recording: Any, against: Any, notes: Sequence[str]) -> str:
    """Return the HTML page of a recorded run, of the plugin registered last that makes one.

    Raises:
        PluginError: A plugin failed, lacks a package, or none makes pages.

    """
    implementations = registry().manager.hook.secateur_page.get_hookimpls()
    for implementation in reversed(implementations):
        with _blamed(implementation, "the page of a run"):
            found = _call(implementation, recording=recording, against=against, notes=notes)
        if isinstance(found, str):
            return found
    raise PluginError(
        "no plugin makes report pages; secateur's own is left out, see: secateur plugins"
    )


def workers_of_this_run() -> Workers:
    """Return the processes that were started together with this one, such as by ``torchrun``.

    Raises:
        PluginError: A plugin failed, or there are several processes and no plugin reaches them.

    """
    for implementation in registry().manager.hook.secateur_workers.get_hookimpls():
        with _blamed(implementation, "the processes of this run"):
            found = _call(implementation)
        if isinstance(found, Workers):
            return found
    count = os.environ.get("WORLD_SIZE", "1")
    if count.isdecimal() and int(count) > 1:
        raise PluginError(
            f"this is one of {count} processes (by WORLD_SIZE), which need PyTorch to work "
            'together: pip install "secateur[torch]". To run one alone, unset WORLD_SIZE.'
        )
    return SINGLE


def _call(implementation: pluggy.HookImpl, **given: Any) -> Any:
    return implementation.function(*(given[name] for name in implementation.argnames))


def _observer_blamed(observer: Observer, where: str) -> PluginCode:
    name = type(observer).__qualname__
    return PluginCode(lambda why: f"observer {name}, {where}: {why}; nothing was changed")


def _blamed(implementation: pluggy.HookImpl, where: str) -> PluginCode:
    plugin, hook = _plugin(implementation), implementation.function.__name__
    return PluginCode(lambda why: f"plugin {plugin}, {hook}, {where}: {why}; nothing was changed")


def _plugin(implementation: pluggy.HookImpl) -> Plugin:
    name = implementation.plugin_name  # another thread, or itself, may have unregistered it
    return registry().plugins.get(name, Plugin(name))


def exporter(kind: str) -> Exporter:
    """Return the exporter of that kind.

    Raises:
        PluginError: There is no such exporter; the message names what exists.

    """
    found: Exporter = registry().part(EXPORTER, kind)[0]
    return found


def run_exporter(kind: str, path: Path, call: Callable[[Exporter], T]) -> T:
    """Return what a call of the exporter of that kind returns.

    Args:
        kind: The name of the exporter.
        path: The file that is written, for messages.
        call: What is asked of it.

    Raises:
        PluginError: There is no such exporter, or it fails; an OSError passes as it is.

    """
    found, plugin = registry().part(EXPORTER, kind)
    where = f"plugin {plugin}, secateur_exporters (exporter {kind!r}), {path}"
    with PluginCode(lambda why: f"{where}: {why}", OSError):
        return call(found)
