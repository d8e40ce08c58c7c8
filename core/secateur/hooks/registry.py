"""The plugin manager: what is registered, by whom, loaded on first use."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from typing import Any

import pluggy

from secateur.adapter import Adapter, LayerWeight
from secateur.components.component import Component
from secateur.errors import PluginError, PluginWarning, SecateurError, nearest
from secateur.hooks import builtin, hookspecs
from secateur.hooks.contributions import ADAPTER, EXPORTER, FAMILIES, Contributions, Key, examine
from secateur.hooks.events import MasksUpdated
from secateur.hooks.exporter import Exporter
from secateur.hooks.layer_weights import layer_weights_problem
from secateur.kinds import Kind, add_kind, remove_kind
from secateur.layout import Array
from secateur.version import __version__

DISABLE = "SECATEUR_DISABLE_PLUGINS"
STRICT = "SECATEUR_STRICT_PLUGINS"
BUILTIN = "builtin"


@dataclass(frozen=True)
class Plugin:
    """One plugin: its name, the distribution it came with, what it provides, what went wrong.

    `distribution` is empty for a plugin that was registered in code; `error` is None for one
    that is registered.
    """

    name: str
    distribution: str = ""
    version: str = ""
    provides: tuple[str, ...] = ()
    error: str | None = None

    def __str__(self) -> str:
        origin = f" of {self.distribution} {self.version}" if self.distribution else ""
        return f"{self.name!r}{origin}"


class Registry:
    """All plugins of this process: `plugins`, by name, and the parts that they brought."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.plugins: dict[str, Plugin] = {}
        self.failed: list[Plugin] = []
        self._parts: dict[Key, tuple[Any, str]] = {}

    def load(self) -> None:
        """Register the built-ins, then every entry point that is not disabled."""
        provides = examine(builtin)
        self._add(builtin, Plugin(BUILTIN, "secateur", __version__, provides.names()), provides)
        disabled = {name.strip() for name in os.environ.get(DISABLE, "").split(",")}
        for entry, source in _entry_points():
            plugin = Plugin(entry.name, _name(source), source.version)
            if disabled & {entry.name, plugin.distribution}:
                self.failed.append(replace(plugin, error=f"disabled by {DISABLE}"))
            else:
                self._load(entry, plugin)

    def _load(self, entry: EntryPoint, plugin: Plugin) -> None:
        try:
            module = entry.load()
            provides = examine(module)
            plugin = replace(plugin, provides=provides.names())
            self._add(module, plugin, provides)
        except (Exception, SystemExit) as error:  # whatever a third party's module raises
            known = isinstance(error, PluginError)
            why = str(error) if known else f"{type(error).__name__}: {error}"
            if os.environ.get(STRICT) == "1":
                raise PluginError(f"plugin {plugin}: {why}") from error
            self.failed.append(replace(plugin, error=why))
            warnings.warn(
                f"plugin {plugin} was left out: {why}. Update or uninstall "
                f"{plugin.distribution}, or set {DISABLE}={plugin.distribution}.",
                PluginWarning,
                stacklevel=2,
            )

    def add(self, plugin: object, name: str | None = None) -> None:
        """Register a plugin in code.  Raises PluginError, and leaves no trace then."""
        given = name or str(getattr(plugin, "__name__", type(plugin).__qualname__))
        try:
            provides = examine(plugin)
            self._add(plugin, Plugin(given, provides=provides.names()), provides)
        except PluginError as error:
            raise PluginError(f"plugin {given!r} cannot be registered: {error}") from error

    def _add(self, module: object, plugin: Plugin, provides: Contributions) -> None:
        same = self.manager.get_name(module) or plugin.name
        if same in self.plugins:
            raise PluginError(
                f"it, or one of its name, is registered already: {self.plugins[same]}; uninstall "
                f"one of them, or call secateur.unregister({same!r}) first"
            )
        for family, kind in provides.parts:
            if (family, kind) in self._parts:
                raise PluginError(
                    f"the {family} {kind!r} is registered already, by plugin "
                    f"{self.plugins[self._parts[family, kind][1]]}; rename one, or disable one "
                    f"of the two plugins by {DISABLE}"
                )
        self.manager.register(module, plugin.name)
        self.plugins[plugin.name] = plugin
        for key, part in provides.parts.items():
            self._parts[key] = (part, plugin.name)
            if isinstance(part, Kind):
                add_kind(part)
            elif key[0] in FAMILIES:
                part.provider = str(plugin)

    def remove(self, name: str) -> None:
        """Take a plugin off.  Raises PluginError when there is none of that name."""
        if name not in self.plugins:
            raise PluginError(f"no plugin {name!r} is registered: {nearest(name, self.plugins)}")
        self.manager.unregister(name=name)
        del self.plugins[name]
        for key, (part, owner) in list(self._parts.items()):
            if owner != name:
                continue
            del self._parts[key]
            if isinstance(part, Kind):
                remove_kind(part.name)
            elif key[0] in FAMILIES:
                del part.provider

    def components(self, family: str) -> dict[str, type[Component]]:
        """Return the registered classes of a family, by kind."""
        return self._of(family)

    def component(self, family: str, kind: str) -> type[Component]:
        """Return the class of that kind.  Raises PluginError that names what exists.

        Of third-party plugins that bring the same name none may be preferred in silence:
        masks would depend on what else is installed.  So the name is refused until one goes.
        """
        known = self.components(family)
        if kind not in known:
            raise PluginError(f"no {family} {kind!r}: {nearest(kind, known)}.{self._missing()}")
        owner = self.owner(known[kind])
        rivals = [plugin for plugin in self.failed if f"{family} {kind}" in plugin.provides]
        if rivals and owner.name != BUILTIN:
            raise PluginError(
                f"the {family} {kind!r} is brought by two plugins, {owner} and {rivals[0]}; "
                f"uninstall one, or set {DISABLE}={owner.distribution or owner.name}"
            )
        return known[kind]

    def _missing(self) -> str:
        absent = "; ".join(f"{plugin} ({plugin.error})" for plugin in self.failed)
        if absent:
            return f" Left out: {absent}."
        return " If a plugin brings it, install that plugin."

    def owner(self, component: type[Component]) -> Plugin:
        """Return the plugin that registered a class, or one that it derives from."""
        for base in component.__mro__:
            held = self._parts.get((getattr(base, "family", ""), getattr(base, "kind", "")))
            if held and held[0] is base:
                return self.plugins[held[1]]
        return Plugin(f"{component.__module__}.{component.__qualname__}")

    def adapters(self) -> list[Adapter]:
        """Return every registered adapter."""
        return list(self._of(ADAPTER).values())

    def adapters_of(self, model: object) -> list[Adapter]:
        """Return the adapters that claim a model.  Raises PluginError when one cannot tell."""
        claiming = []
        for adapter in self.adapters():
            try:
                claims = adapter.matches(model)
            except Exception as error:  # whatever a plugin's code raises
                owner = self.plugins[self._parts[ADAPTER, adapter.name][1]]
                raise PluginError(
                    f"plugin {owner}, secateur_adapters (adapter {adapter.name!r}), matches(): "
                    f"{type(error).__name__}: {error}; update or uninstall it, or leave it out "
                    f"by {DISABLE}"
                ) from error
            if claims:
                claiming.append(adapter)
        return claiming

    def exporter(self, kind: str) -> Exporter:
        """Return the exporter of that kind.  Raises PluginError that names what exists."""
        known = self._of(EXPORTER)
        if kind not in known:
            raise PluginError(f"no exporter {kind!r}: {nearest(kind, known)}.{self._missing()}")
        found: Exporter = known[kind]
        return found

    def export(
        self, kind: str, weights: Mapping[str, Array], masks: Mapping[str, Array], path: Path
    ) -> None:
        """Write a file by an exporter.  Raises PluginError when it fails, OSError as it is."""
        exporter = self.exporter(kind)
        try:
            exporter.export(weights, masks, path)
        except (SecateurError, OSError):
            raise
        except Exception as error:  # whatever a plugin's code raises
            owner = self.plugins[self._parts[EXPORTER, kind][1]]
            raise PluginError(
                f"plugin {owner}, secateur_exporters (exporter {kind!r}), {path}: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _of(self, family: str) -> dict[str, Any]:
        return {kind: part for (group, kind), (part, _) in self._parts.items() if group == family}

    def layer_weights(self, adapter: str, layer: object) -> Sequence[LayerWeight] | None:
        """Ask the plugins for the weights of a layer; None when none knows it.

        Raises PluginError when one fails, or when two know the layer.
        """
        answers: dict[str, Sequence[LayerWeight]] = {}
        for implementation in self.manager.hook.secateur_layer_weights.get_hookimpls():
            where = f"{type(layer).__name__} of the {adapter} adapter"
            answer = self._ask(implementation, where, adapter=adapter, layer=layer)
            if answer is None:
                continue
            if why := layer_weights_problem(layer, answer):
                owner = self.plugins[implementation.plugin_name]
                raise PluginError(f"plugin {owner}, secateur_layer_weights, {where}: {why}")
            answers[implementation.plugin_name] = answer
        if len(answers) > 1:
            names = " and ".join(str(self.plugins[name]) for name in answers)
            raise PluginError(
                f"two plugins bind the layer {type(layer).__name__}: {names}; disable one by "
                f"{DISABLE}"
            )
        return next(iter(answers.values()), None)

    def notify(self, event: MasksUpdated) -> None:
        """Tell every observer of new masks.  Raises PluginError when one of them fails."""
        where = f"step {event.step}, weights {', '.join(event.masks)}"
        for implementation in self.manager.hook.secateur_masks_updated.get_hookimpls():
            self._ask(implementation, where, event=event)

    def _ask(self, implementation: pluggy.HookImpl, where: str, **given: Any) -> Any:
        try:
            return implementation.function(*(given[name] for name in implementation.argnames))
        except Exception as error:  # whatever a plugin raises
            raise PluginError(
                f"plugin {self.plugins[implementation.plugin_name]}, "
                f"{implementation.function.__name__}, {where}: {type(error).__name__}: {error}; "
                "nothing was changed"
            ) from error


def _entry_points() -> list[tuple[EntryPoint, Distribution]]:
    found = {
        (entry.name, _name(source)): (entry, source)
        for source in reversed(list(distributions()))  # of two copies the first on the path counts
        for entry in source.entry_points
        if entry.group == hookspecs.PROJECT
    }
    return [found[key] for key in sorted(found)]


def _name(source: Distribution) -> str:
    return source.metadata["Name"] or "an unnamed distribution"


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


def unregister(name: str) -> None:
    """Take a plugin off by its name, so that a changed one can be registered.

    Raises PluginError when there is none of that name.
    """
    registry().remove(name)


def layer_weights(adapter: str, layer: object) -> Sequence[LayerWeight] | None:
    """Return the prunable weights of a layer that a plugin knows, or None; for adapter authors.

    Args:
        adapter: The adapter's name, such as ``torch``.
        layer: A layer of a model.

    Raises:
        PluginError: A plugin fails, or two plugins know the layer.

    Example:
        >>> layer_weights("numpy", object()) is None
        True

    """
    return registry().layer_weights(adapter, layer)
