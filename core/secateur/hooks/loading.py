"""The plugins that are installed: which the environment leaves out, and the loading of others."""

from __future__ import annotations

import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib.metadata import Distribution, EntryPoint, distributions

from secateur.errors import PluginError, PluginWarning, in_words, nearest, shown
from secateur.hooks import hookspecs
from secateur.hooks.contributions import Contributions, examine
from secateur.hooks.plugin import Plugin

DISABLE = "SECATEUR_DISABLE_PLUGINS"
STRICT = "SECATEUR_STRICT_PLUGINS"
_ON = ("1", "true", "yes", "on")
_OFF = ("0", "false", "no", "off")


Add = Callable[[object, Plugin, Contributions], None]
"""Registers a module as a plugin with what it provides."""


class Installed:
    """The installed plugins that are not registered.

    Attributes:
        failed: Those that were left out, and why.
        pending: Those that are still to be loaded.

    """

    def __init__(self) -> None:
        self.failed: tuple[Plugin, ...] = ()
        self.pending: tuple[tuple[EntryPoint, Plugin], ...] = ()
        self._strict = False
        self._lock = threading.RLock()
        self._here = threading.local()

    def find(self) -> None:
        """Find what is installed, and leave out what is disabled."""
        self._strict = is_strict()
        disabled, found = Disabled(), installed()
        disabled.warn_of_unknown(plugin for _, plugin in found)
        self.failed = tuple(
            replace(plugin, error=f"disabled by {DISABLE}")
            for _, plugin in found
            if plugin in disabled
        )
        self.pending = tuple(pair for pair in found if pair[1] not in disabled)

    def load(self, add: Add) -> bool:
        """Load what is pending, but for modules whose import is under way in this thread.

        A plugin's module, or one of its hooks, may end up here while it is loaded itself: it
        gets what there is so far, and loading goes on when it is done.  Modules are imported
        without a lock: another thread may be importing one that is about to wait for ours.

        Returns:
            Whether this thread was not loading already.

        """
        if getattr(self._here, "loading", False):
            return False
        self._here.loading = True
        try:
            for pair in self.pending:
                self._load(pair, add)
        finally:
            self._here.loading = False
        return True

    def _load(self, pair: tuple[EntryPoint, Plugin], add: Add) -> None:
        entry, plugin = pair
        module, error = _imported(entry)
        if is_being_imported(entry):
            return
        with self._lock:
            if pair not in self.pending:
                return  # another thread was faster
            try:
                self._register(plugin, module, error, add)
            finally:  # even if it raises, since it would again at each use of the registry
                self.pending = tuple(other for other in self.pending if other is not pair)

    def _register(
        self, plugin: Plugin, module: object, error: BaseException | None, add: Add
    ) -> None:
        if error is None:
            try:
                provided = examine(module)
                plugin = replace(plugin, provides=provided.names())
                add(module, plugin, provided)
            except (Exception, SystemExit) as failure:  # whatever its hooks raise
                error = failure
        if error is not None:
            self._leave_out(plugin, error)

    def _leave_out(self, plugin: Plugin, error: BaseException) -> None:
        why = str(error) if isinstance(error, PluginError) else in_words(error)
        self.failed = (*self.failed, replace(plugin, error=why))
        if self._strict:
            raise PluginError(f"plugin {plugin}: {why}") from error
        warnings.warn(
            f"plugin {plugin} was left out: {why}. Update or uninstall "
            f"{plugin.distribution}, or set {DISABLE}={plugin.distribution}.",
            PluginWarning,
            stacklevel=2,
        )


def installed() -> list[tuple[EntryPoint, Plugin]]:
    """Return every entry point of the group ``secateur``, in a fixed order; imports nothing."""
    found = {
        (entry.name, _name(source)): (entry, Plugin(entry.name, _name(source), source.version))
        for source in reversed(list(distributions()))  # of two copies the first on the path counts
        for entry in _entry_points(source)
        if entry.group == hookspecs.PROJECT
    }
    return [found[key] for key in sorted(found)]


def _entry_points(source: Distribution) -> Iterator[EntryPoint]:
    try:
        yield from source.entry_points
    except Exception:  # any distribution on the path may have a damaged file
        return


def _name(source: Distribution) -> str:
    return source.metadata["Name"] or "an unnamed distribution"


def is_strict() -> bool:
    """Return whether a plugin that fails to load is an error in this environment.

    Warns of a word that is not known, which counts as yes.
    """
    word = os.environ.get(STRICT, "").strip()
    if word.lower() in ("", *_OFF):
        return False
    if word.lower() not in _ON:
        warnings.warn(
            f"{STRICT}={shown(word)} is not known and counts as on; there are: "
            f"{', '.join(_ON)}, and {', '.join(_OFF)}",
            PluginWarning,
            stacklevel=2,
        )
    return True


class Disabled:
    """The plugins that the environment leaves out, by entry point or distribution.

    Names are compared as pip compares them: case, ``-``, ``_`` and ``.`` make no difference.
    """

    def __init__(self) -> None:
        words = os.environ.get(DISABLE, "").split(",")
        self._names = {_normalized(word): word.strip() for word in words if word.strip()}

    def __contains__(self, plugin: Plugin) -> bool:
        return not self._names.keys().isdisjoint(_names_of(plugin))

    def warn_of_unknown(self, plugins: Iterable[Plugin]) -> None:
        """Warn, once, of names that no installed plugin has."""
        known = {name for plugin in plugins for name in _names_of(plugin)}
        unknown = [word for name, word in self._names.items() if name not in known]
        if unknown:
            each = "; ".join(f"no plugin {shown(word)}: {nearest(word, known)}" for word in unknown)
            warnings.warn(f"{DISABLE}: {each:.2000}", PluginWarning, stacklevel=2)


def _names_of(plugin: Plugin) -> set[str]:
    return {_normalized(plugin.name), _normalized(plugin.distribution)}


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _imported(entry: EntryPoint) -> tuple[object, BaseException | None]:
    try:
        return entry.load(), None
    except (Exception, SystemExit) as error:  # whatever a third party's module raises
        return None, error


def is_being_imported(entry: EntryPoint) -> bool:
    """Return whether the import of an entry point's module has begun and not finished."""
    spec = getattr(sys.modules.get(entry.module), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))
