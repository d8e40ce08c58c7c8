"""What one plugin provides, found out before anything of it is registered."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pluggy

from secateur.adapter import Adapter
from secateur.components.component import Component
from secateur.errors import PluginError, in_words, listed, nearest, shown
from secateur.hooks import hookspecs
from secateur.hooks.exporter import Exporter
from secateur.kinds import Kind

FAMILIES = {
    "schedule": "secateur_schedules",
    "criterion": "secateur_criteria",
    "pattern": "secateur_patterns",
    "distribution": "secateur_distributions",
}
"""Each family of components and the hook that registers them."""
ADAPTER, EXPORTER, KIND = "adapter", "exporter", "kind"
_HOOK_OF = {
    **FAMILIES,
    ADAPTER: "secateur_adapters",
    EXPORTER: "secateur_exporters",
    KIND: "secateur_kinds",
}
_AT_WORK = {
    "secateur_layer_weights": "layer weights",
    "secateur_masks_updated": "observer",
    "secateur_workers": "workers",
    "secateur_commands": "commands",
    "secateur_page": "page",
}

Key = tuple[str, str]
"""A family and a name in it, such as ``("schedule", "cosine")``."""


@dataclass(frozen=True)
class Contributions:
    """What one plugin provides.

    Attributes:
        parts: Everything that is registered by a name.
        others: The hooks that it has besides, in words.

    """

    parts: Mapping[Key, Any] = field(default_factory=dict)
    others: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """Return everything in words, such as ``schedule cosine``."""
        return (*(f"{family} {name}" for family, name in self.parts), *self.others)


def examine(plugin: object) -> Contributions:
    """Return what a plugin provides, its hooks called once; nothing is registered.

    Raises:
        PluginError: The hook version is another one; a hook does not exist, is not marked, takes
            other arguments or raises; a part is of the wrong type; or a hook registers its own
            plugin.

    """
    with _once(plugin):
        return _examine(plugin)


_under_way = threading.local()


@contextmanager
def _once(plugin: object) -> Iterator[None]:
    """Refuse to examine a plugin inside one of its own hooks, which would never end."""
    examined: set[int] = _under_way.__dict__.setdefault("plugins", set())
    if id(plugin) in examined:
        raise PluginError("one of its own hooks registers it; register it outside of its hooks")
    examined.add(id(plugin))
    try:
        yield
    finally:
        examined.remove(id(plugin))


def _examine(plugin: object) -> Contributions:
    _check_version(getattr(plugin, "secateur_hook_version", hookspecs.HOOK_VERSION))
    trial = pluggy.PluginManager(hookspecs.PROJECT)
    trial.add_hookspecs(hookspecs)
    found = _marked(plugin, trial)
    try:
        trial.register(plugin)
    except pluggy.PluginValidationError as error:
        raise PluginError(" ".join(str(error).split())) from error
    parts: dict[Key, Any] = {}
    for family, hook in _HOOK_OF.items():
        for implementation in getattr(trial.hook, hook).get_hookimpls():
            for part in _call(hook, implementation.function):
                key = family, _name(family, hook, part)
                if key in parts:
                    raise PluginError(f"{hook} provides the {family} {key[1]!r} twice; rename one")
                parts[key] = part
    return Contributions(parts, tuple(word for hook, word in _AT_WORK.items() if hook in found))


def _check_version(wanted: object) -> None:
    offered = hookspecs.HOOK_VERSION
    if not isinstance(wanted, int) or isinstance(wanted, bool):
        raise PluginError(
            f"secateur_hook_version = {shown(wanted)}: wanted an integer, now {offered}"
        )
    if wanted > offered:
        raise PluginError(
            f"it asks for hook version {wanted}, and this secateur offers {offered}: update "
            "secateur (pip install -U secateur), or install an older version of the plugin"
        )
    if wanted < offered:
        raise PluginError(
            f"it was written for hook version {wanted}, and this secateur offers {offered}: "
            "update the plugin"
        )


def _marked(plugin: object, trial: pluggy.PluginManager) -> set[str]:
    """Return the names of the plugin's hooks; refuse those that do not exist."""
    known = set(trial.hook.__dict__)
    found: set[str] = set()
    for name in dir(plugin):
        options = trial.parse_hookimpl_opts(plugin, name)
        if options is None:
            unmarked = name.startswith("secateur_") and inspect.isroutine(getattr(plugin, name))
            if unmarked:
                raise PluginError(f"{name} is not marked as a hook: put @secateur.hookimpl on it")
            continue
        if name not in known:
            raise PluginError(f"no hook {name!r}: {nearest(name, known)}")
        if options["wrapper"] or options["hookwrapper"]:
            raise PluginError(f"{name} is a hook wrapper, and these are not taken")
        _check_it_runs(plugin, name, getattr(plugin, name))
        found.add(name)
    if not found:
        raise PluginError(f"it has no hook: {nearest('', known)}")
    return found


def _check_it_runs(plugin: object, hook: str, function: Callable[..., Any]) -> None:
    """Refuse a function whose body would not run when it is called."""
    if inspect.isclass(plugin) and next(iter(inspect.signature(function).parameters), "") == "self":
        raise PluginError(f"it is a class; register an object of it: {plugin.__name__}()")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise PluginError(f"{hook} is an async function; write it without async")
    if hook in _AT_WORK and inspect.isgeneratorfunction(function):
        raise PluginError(f"{hook} has a yield, so that calling it does nothing; write it without")


def _call(hook: str, function: Callable[[], Any]) -> list[Any]:
    try:
        return list(function())
    except Exception as error:  # whatever a third party's code raises
        raise PluginError(f"{hook} raised {in_words(error)}") from error


def _name(family: str, hook: str, part: Any) -> str:
    """Return the name of a part; refuse one of the wrong type."""
    if family == ADAPTER:
        fits, name, wanted = isinstance(part, Adapter), "name", "an Adapter"
    elif family == EXPORTER:
        fits, name, wanted = isinstance(part, Exporter), "kind", "an Exporter"
    elif family == KIND:
        fits, name, wanted = isinstance(part, Kind), "name", "a Kind"
    else:
        fits = inspect.isclass(part) and issubclass(part, Component)
        fits = fits and getattr(part, "family", None) == family
        name, wanted = "kind", f"a subclass of {family.capitalize()}"
    if not fits:
        raise PluginError(f"{hook} returned {shown(part)}; wanted {wanted}")
    found = getattr(part, name, None)
    if not isinstance(found, str) or not found:
        raise PluginError(f'{hook}: {shown(part)} has no name; write {name} = "..." in its class')
    if missing := sorted(getattr(part, "__abstractmethods__", ())):
        raise PluginError(f"{hook}: {shown(found)} does not define: {listed(missing)}")
    return found
