"""Which adapter a model belongs to."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from secateur.adapter import Adapter, Binding, Checkpoint
from secateur.adapter.guarded import GuardedBinding
from secateur.errors import ModelError, PluginCode, listed
from secateur.hooks.contributions import ADAPTER
from secateur.hooks.loading import DISABLE
from secateur.hooks.registry import registry

_PATH = """is a path where a model was wanted: load the model first, or use `secateur plan` and \
`secateur prune`, which read files. Functions take the model first, then the policy."""


def bind(model: Any) -> Binding:
    """Return the model, bound by the one adapter that knows it; changes nothing in it.

    Raises:
        ModelError: No adapter knows the model, several do, or it cannot be bound yet.
        PluginError: An adapter failed.

    """
    adapter = adapter_of(model)
    with _adapter_blamed(adapter, "bind()"):
        binding = adapter.bind(model)
    # a warning that the user made an error passes as it is
    return GuardedBinding(binding, lambda call: _adapter_blamed(adapter, call, Warning))


def adapter_of(model: Any) -> Adapter:
    """Return the one adapter whose model this is.

    Raises:
        ModelError: No adapter knows the model, or several do.
        PluginError: An adapter failed.

    """
    adapters = registry().adapters()
    matching = [adapter for adapter in adapters if _matches(adapter, model)]
    if len(matching) == 1:
        return matching[0]
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    if matching:
        claims = listed(adapter.name for adapter in matching)
        raise ModelError(
            f"{kind} is claimed by several adapters: {claims}. Set SECATEUR_DISABLE_PLUGINS to "
            "all of them but one."
        )
    if isinstance(model, str | PathLike):
        raise ModelError(f"{str(model)!r:.200} {_PATH}")
    hints = [hint for adapter in adapters if (hint := _hint(adapter, model))]
    names = listed(adapter.name for adapter in adapters)
    raise ModelError(
        f"no adapter knows a model of type {kind}; there are adapters for: {names}. "
        + (" ".join(hints) or "Pass a Keras model, a torch.nn.Module, or {name: array}.")
    )


def reading_adapter(suffix: str) -> Adapter | None:
    """Return the adapter that reads files of a suffix, if there is one.

    Raises:
        PluginError: An adapter failed.

    """
    return next((each for each in registry().adapters() if suffix in suffixes_of(each)), None)


def suffixes_of(adapter: Adapter) -> tuple[str, ...]:
    """Return the suffixes of the files that an adapter reads.

    Raises:
        PluginError: The adapter failed.

    """
    with _adapter_blamed(adapter, "suffixes"):
        return tuple(adapter.suffixes)


def read_file(adapter: Adapter, path: Path) -> Any:
    """Return the model, or the `Checkpoint`, that an adapter finds in a file.

    Raises:
        ModelError: The file is damaged, or its framework is missing.
        OSError: The file cannot be read.
        PluginError: The adapter failed.

    """
    with _adapter_blamed(adapter, f"read_file({path})", OSError):
        return adapter.read_file(path)


def checkpoint_of(adapter: Adapter, path: Path) -> Checkpoint:
    """Return the `Checkpoint` that an adapter makes of a file, to write a pruned copy.

    Raises:
        ModelError: The file is damaged, its framework is missing, or it cannot be written.
        OSError: The file cannot be read.
        PluginError: The adapter failed.

    """
    with _adapter_blamed(adapter, f"checkpoint({path})", OSError):
        return adapter.checkpoint(path)


def file_notes(adapter: Adapter, path: Path) -> tuple[str, ...]:
    """Return what else an adapter finds in a file that it reads.

    Raises:
        PluginError: The adapter failed.

    """
    with _adapter_blamed(adapter, f"file_notes({path})", OSError):
        return tuple(adapter.file_notes(path))


def _matches(adapter: Adapter, model: object) -> bool:
    with _adapter_blamed(adapter, "matches()"):
        return bool(adapter.matches(model))


def _hint(adapter: Adapter, model: object) -> str:
    with _adapter_blamed(adapter, "hint()"):
        return str(adapter.hint(model) or "")


def _adapter_blamed(adapter: Adapter, call: str, *passing: type[Exception]) -> PluginCode:
    def worded(why: str) -> str:
        plugin = registry().part(ADAPTER, adapter.name)[1]
        return (
            f"plugin {plugin}, secateur_adapters (adapter {adapter.name!r}), {call}: {why}; "
            f"update or uninstall it, or leave it out by {DISABLE}"
        )

    return PluginCode(worded, *passing)
