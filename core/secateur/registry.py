"""The plugin manager: what is registered, by whom, loaded on first use."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import TYPE_CHECKING, Any

import pluggy

from secateur import hookspecs
from secateur.component import Component
from secateur.errors import PluginError, PluginWarning, nearest

if TYPE_CHECKING:
    from secateur.adapter import Adapter
    from secateur.events import MasksUpdated

FAMILIES = {
    "schedule": "secateur_schedules",
    "criterion": "secateur_criteria",
    "pattern": "secateur_patterns",
    "distribution": "secateur_distributions",
}
"""Each family of components and the hook that registers them."""


@dataclass(frozen=True)
class Plugin:
    """One plugin: its name, the distribution and version it came with, and what went wrong."""

    name: str
    distribution: str
    version: str
    error: str | None = None


class Registry:
    """All plugins of this process."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.plugins: list[Plugin] = []

    def load(self) -> None:
        """Register the built-ins, then every entry point that is not disabled."""
        from secateur import builtin

        self.add(builtin, "builtin")
        disabled = set(filter(None, os.environ.get("SECATEUR_DISABLE_PLUGINS", "").split(",")))
        for entry, source in _entry_points():
            if entry.name not in disabled:
                self._load_entry_point(entry, source)

    def _load_entry_point(self, entry: EntryPoint, source: Distribution) -> None:
        name, version = source.metadata["Name"], source.version
        try:
            self.add(entry.load(), entry.name)
        except Exception as error:  # whatever a third party's module raises
            if os.environ.get("SECATEUR_STRICT_PLUGINS") == "1":
                raise PluginError(f"plugin {entry.name!r} of {name} {version}: {error}") from error
            self.plugins.append(Plugin(entry.name, name, version, str(error)))
            warnings.warn(
                f"plugin {entry.name!r} of {name} {version} was left out: "
                f"{type(error).__name__}: {error}. Update or uninstall {name}, or set "
                f"SECATEUR_DISABLE_PLUGINS={entry.name}.",
                PluginWarning,
                stacklevel=2,
            )
        else:
            self.plugins.append(Plugin(entry.name, name, version))

    def add(self, plugin: object, name: str | None = None) -> None:
        """Register a plugin; refuse misspelt hooks and names that exist, and leave no trace."""
        self.manager.register(plugin, name)
        try:
            self.manager.check_pending()
            for family in FAMILIES:
                self.components(family)
        except (pluggy.PluginValidationError, PluginError, TypeError) as error:
            self.manager.unregister(plugin)
            raise PluginError(f"{name or plugin!r} cannot be registered: {error}") from error

    def components(self, family: str) -> dict[str, type[Component]]:
        """Return the registered classes of a family, by kind."""
        found: dict[str, type[Component]] = {}
        owners: dict[str, str] = {}
        for owner, component in self._each(FAMILIES[family]):
            kind = component.kind
            if kind in found:
                raise PluginError(
                    f"two plugins register the {family} {kind!r}: {owners[kind]} and {owner}; "
                    f"rename one, or set SECATEUR_DISABLE_PLUGINS to one of them"
                )
            found[kind], owners[kind] = component, owner
        return found

    def component(self, family: str, kind: str) -> type[Component]:
        """Return the class of that kind.  Raises PluginError that names what exists."""
        known = self.components(family)
        if kind not in known:
            raise PluginError(
                f"no {family} {kind!r}: {nearest(kind, known)}. If a plugin brings it, install "
                "that plugin; `secateur plugins` lists what is registered."
            )
        return known[kind]

    def notify(self, event: MasksUpdated) -> None:
        """Tell every observer of new masks.  Raises PluginError when one of them fails."""
        hook = "secateur_masks_updated"
        for observer in self.manager.hook.secateur_masks_updated.get_hookimpls():
            try:
                observer.function(event=event)
            except Exception as error:  # whatever a plugin raises
                raise PluginError(
                    f"plugin {observer.plugin_name!r}, {hook}, step {event.step}, weights "
                    f"{', '.join(event.masks)}: {type(error).__name__}: {error}; nothing was "
                    "changed"
                ) from error

    def adapters(self) -> list[Adapter]:
        """Return every registered adapter."""
        return [adapter for _, adapter in self._each("secateur_adapters")]

    def _each(self, hook: str) -> Iterator[tuple[str, Any]]:
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            for item in implementation.function() or ():
                yield implementation.plugin_name, item


def _entry_points() -> list[tuple[EntryPoint, Distribution]]:
    found = {
        (entry.name, entry.value): (entry, source)
        for source in distributions()
        for entry in source.entry_points
        if entry.group == hookspecs.PROJECT
    }
    return [found[key] for key in sorted(found)]


_lock = threading.RLock()


@cache
def _loaded() -> Registry:
    registry = Registry()
    registry.load()
    return registry


def registry() -> Registry:
    """Return the registry, which loads every plugin on first use."""
    with _lock:
        return _loaded()


def register(plugin: object, name: str | None = None) -> None:
    """Register a plugin in code, without packaging: a module or object with hook functions.

    Raises PluginError when a hook is misspelt or a name is taken; nothing is registered then.
    """
    registry().add(plugin, name)
