"""The registry: what is registered, by which plugin, loaded on first use.

Tables are replaced, never changed, so that other threads may read them at any time.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pluggy

from secateur.adapter import Adapter
from secateur.components.component import Component
from secateur.errors import PluginCode, PluginError, nearest, shown
from secateur.hooks import builtin, hookspecs
from secateur.hooks.contributions import ADAPTER, FAMILIES, Contributions, Key, examine
from secateur.hooks.loading import DISABLE, Installed
from secateur.hooks.plugin import BUILTIN, Plugin
from secateur.kinds import Kind, add_kind, remove_kind
from secateur.version import __version__

_MEANT = {
    ("pattern", "structured"): "'channel' prunes whole slices and 'block' prunes tiles; ",
    ("pattern", "semistructured"): "'n_m' keeps a few of every so many weights; ",
    ("pattern", "2:4"): 'write { kind = "n_m", keep = 2, of = 4 }; ',
    ("schedule", "poly"): "'polynomial' is fast at first, then slower; ",
    ("schedule", "cubic"): "'polynomial' has power 3; ",
    ("schedule", "gradual"): "'polynomial' and 'linear' go step by step; ",
    ("criterion", "l1"): "'magnitude' ranks by absolute value; ",
    ("criterion", "l2"): "'magnitude' ranks by absolute value; ",
    ("distribution", "layerwise"): "'uniform' gives every weight the target; ",
}
"""What is meant by usual words that are no names here."""


class Registry:
    """All plugins of this process, and the parts that they provide.

    Attributes:
        manager: The plugin manager, which holds the hooks that are called during a run.
        plugins: The registered plugins, by name.
        installed: The installed plugins that are not registered, or not yet.
        loaded: Whether all of them were loaded once without an error.

    """

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.plugins: Mapping[str, Plugin] = {}
        self.installed = Installed()
        self.loaded = False
        self._parts: Mapping[Key, tuple[Any, Plugin]] = {}
        self._lock = threading.RLock()

    def load(self) -> None:
        """Register the built-ins, then every installed plugin that is not disabled."""
        self.find()
        self.load_pending()

    def find(self) -> None:
        """Register the built-ins, and find what is installed; imports nothing of a plugin."""
        provided = examine(builtin)
        self._add(builtin, Plugin(BUILTIN, "secateur", __version__, provided.names()), provided)
        self.installed.find()

    def load_pending(self) -> None:
        """Load the installed plugins that are not loaded yet."""
        self.loaded |= self.installed.load(self._add)

    @property
    def failed(self) -> tuple[Plugin, ...]:
        """The installed plugins that were left out, and why."""
        return self.installed.failed

    def add(self, plugin: object, name: str | None = None) -> None:
        """Register a plugin in code; see `register`."""
        own = getattr(plugin, "__name__", type(plugin).__qualname__)
        given = str(own) if name is None else name
        if not isinstance(given, str) or not given.strip():
            raise PluginError(f"the name of a plugin is a text, not {shown(name)}")
        try:
            with PluginCode(lambda why: why):
                provided = examine(plugin)
                self._add(plugin, Plugin(given, provides=provided.names()), provided)
        except PluginError as error:
            raise PluginError(f"plugin {shown(given)} cannot be registered: {error}") from error

    def _add(self, module: object, plugin: Plugin, provided: Contributions) -> None:
        with self._lock:
            self._check_free(module, plugin, provided)
            self.manager.register(module, plugin.name)
            for (family, _), part in provided.parts.items():
                if isinstance(part, Kind):
                    add_kind(part)
                elif family in FAMILIES:
                    part.provider = str(plugin)
            self._parts = {
                **self._parts,
                **{key: (part, plugin) for key, part in provided.parts.items()},
            }
            self.plugins = {**self.plugins, plugin.name: plugin}

    def _check_free(self, module: object, plugin: Plugin, provided: Contributions) -> None:
        same = self.manager.get_name(module) or plugin.name
        if same in self.plugins:
            raise PluginError(
                f"it, or one of its name, is registered already: {self.plugins[same]}; uninstall "
                f"one of them, or call secateur.unregister({same!r}) first"
            )
        for family, kind in provided.parts:
            if (family, kind) in self._parts:
                raise PluginError(
                    f"the {family} {kind!r} is registered already, by plugin "
                    f"{self._parts[family, kind][1]}; rename one, or disable one of the two "
                    f"plugins by {DISABLE}"
                )

    def remove(self, name: str) -> None:
        """Unregister a plugin; see `unregister`."""
        with self._lock:
            if not isinstance(name, str) or name not in self.plugins:
                raise PluginError(
                    f"no plugin {shown(name)} is registered: {nearest(str(name), self.plugins)}"
                )
            if name == BUILTIN:
                raise PluginError("the built-ins cannot be unregistered")
            removed = self.plugins[name]
            self.plugins = {n: plugin for n, plugin in self.plugins.items() if n != name}
            parts = self._parts
            self._parts = {key: pair for key, pair in parts.items() if pair[1] is not removed}
            self.manager.unregister(name=name)
            for (family, _), (part, plugin) in parts.items():
                if plugin is removed and isinstance(part, Kind):
                    remove_kind(part.name)
                elif plugin is removed and family in FAMILIES and "provider" in vars(part):
                    del part.provider

    def parts(self, family: str) -> dict[str, Any]:
        """Return everything registered of a family, by name."""
        return {name: part for (group, name), (part, _) in self._parts.items() if group == family}

    def components(self, family: str) -> dict[str, type[Component]]:
        """Return the registered classes of a family of components, by kind."""
        return self.parts(family)

    def adapters(self) -> list[Adapter]:
        """Return every registered adapter."""
        return list(self.parts(ADAPTER).values())

    def part(self, family: str, name: str) -> tuple[Any, Plugin]:
        """Return what is registered by that name, and the plugin that provides it.

        Of two third-party plugins that provide one name neither may be preferred in silence, for
        masks would depend on what else is installed: the name is refused until one of them goes.

        Raises:
            PluginError: There is no such name, or two plugins provide it.

        """
        found = self._parts.get((family, name)) if isinstance(name, str) else None
        if found is None:
            name = str(name)
            meant = _MEANT.get((family, name.lower().replace("_", "").replace("-", "")), "")
            hint = nearest(name, self.parts(family))
            raise PluginError(f"no {family} {shown(name)}: {meant}{hint}.{self._absent()}")
        plugin = found[1]
        rivals = [failed for failed in self.failed if f"{family} {name}" in failed.provides]
        if rivals and plugin.name != BUILTIN:
            raise PluginError(
                f"the {family} {name!r} is provided by two plugins, {plugin} and {rivals[0]}; "
                f"uninstall one, or set {DISABLE}={plugin.distribution or plugin.name}"
            )
        return found

    def component(self, family: str, kind: str) -> type[Component]:
        """Return the component class of that kind; see `part`."""
        found: type[Component] = self.part(family, kind)[0]
        return found

    def _absent(self) -> str:
        text = ""
        if pending := "; ".join(str(plugin) for _, plugin in self.installed.pending):
            text = f" Still being imported: {pending}; read policies in functions, not at its top."
        if failed := "; ".join(f"{plugin} ({plugin.error})" for plugin in self.failed[:8]):
            text += f" Left out: {failed}."
        return text or " If a plugin provides it, install that plugin."

    def provider(self, component: type[Component]) -> Plugin:
        """Return the plugin that registered a class, or the one that it derives from."""
        parts = self._parts
        for base in component.__mro__:
            found = parts.get((getattr(base, "family", ""), getattr(base, "kind", "")))
            if found and found[0] is base:
                return found[1]
        return Plugin(f"{component.__module__}.{component.__qualname__}")


_lock = threading.RLock()
_registry: Registry | None = None


def registry() -> Registry:
    """Return the registry, which loads every plugin on first use.

    Raises:
        PluginError: A plugin fails to load, and `SECATEUR_STRICT_PLUGINS` is set.

    """
    global _registry
    found = _registry or _found()  # once there is one, it is read without a lock
    try:
        found.load_pending()
    except BaseException:
        with _lock:
            if _registry is found and not found.loaded:
                _registry = None  # the next call tries again
        raise
    return found


def _found() -> Registry:
    global _registry
    with _lock:
        if _registry is None:
            found = Registry()
            found.find()
            _registry = found  # before plugins load, so that they may register others
        return _registry


def register(plugin: object, name: str | None = None) -> None:
    """Register a plugin in code, for a notebook or a test, without packaging it.

    Args:
        plugin: A module, or an object, with functions that are marked by `hookimpl`.
        name: Its name in errors and for `unregister`; by default the module's or the class's.

    Raises:
        PluginError: A hook is misspelt or fails, or a name is taken; nothing is registered then.

    Example:
        >>> import secateur
        >>> class Plugin:
        ...     @secateur.hookimpl
        ...     def secateur_masks_updated(self, event):
        ...         print(event.step, event.targets)
        >>> secateur.register(Plugin(), "printer")
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> report = secateur.prune({"fc": __import__("numpy").eye(2)}, half)
        0 {'fc': 0.5}
        >>> secateur.unregister("printer")

    """
    registry().add(plugin, name)


def unregister(name: str) -> None:
    """Unregister a plugin, so that a changed one can be registered.

    What already uses its parts, such as a pruner, keeps them.

    Args:
        name: Its name, as ``secateur plugins`` lists it.

    Raises:
        PluginError: There is no plugin of that name, or it is the one of the built-ins.

    Example:
        >>> import secateur
        >>> class Plugin:
        ...     @secateur.hookimpl
        ...     def secateur_schedules(self):
        ...         return []
        >>> secateur.register(Plugin(), "mine")
        >>> secateur.unregister("mine")

    """
    registry().remove(name)
