"""Registers the adapter.  Imports no torch: a model of torch cannot exist without it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from secateur import hookimpl
from secateur.adapter import Adapter, Binding
from secateur.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from secateur.adapter import Checkpoint, Workers


class TorchAdapter(Adapter):
    """Binds any `torch.nn.Module`, but those that are Keras models or layers."""

    name = "torch"

    def matches(self, model: object) -> bool:
        torch: Any = sys.modules.get("torch")
        nn = getattr(torch, "nn", None)
        return nn is not None and isinstance(model, nn.Module) and not _is_keras(model)

    def hint(self, model: object) -> str | None:
        torch: Any = sys.modules.get("torch")
        if getattr(torch, "nn", None) is None:
            return None
        return _hint(model, torch)

    @property
    def suffixes(self) -> tuple[str, ...]:
        return (".pt", ".pth")

    def read_file(self, path: Path) -> Checkpoint:
        """Return the state dict in a file, read without running code from it."""
        try:
            from secateur_torch.checkpoint import TorchCheckpoint
        except ModuleNotFoundError as error:
            raise ModelError(
                f'{path}: reading it needs PyTorch: pip install "secateur[torch]" ({error})'
            ) from error
        return TorchCheckpoint(path)

    def bind(self, model: nn.Module) -> Binding:
        from secateur_torch.binding import bind

        return bind(model)


def _is_keras(model: object) -> bool:
    keras: Any = sys.modules.get("keras")
    layer = getattr(keras, "Layer", None)
    return layer is not None and isinstance(model, layer)


def _hint(model: object, torch: Any) -> str | None:
    """Return which module to pass instead of something that holds modules or comes of one."""
    module = torch.nn.Module
    if isinstance(model, type) and issubclass(model, module):
        return f"This is the class: pass a module, as {model.__name__}(...) makes it."
    if type(model).__name__ == "ExportedProgram":
        return "This is an exported program: prune the module before torch.export.export."
    if isinstance(model, list | tuple) and any(isinstance(each, module) for each in model):
        return "These are several modules: pass torch.nn.ModuleList(...) of them."
    if isinstance(model, Mapping) and any(torch.is_tensor(each) for each in model.values()):
        return (
            "This is a state dict: pass the module itself, or save it as a .safetensors file and "
            "use the command line."
        )
    held = [name for name, value in _attributes(model) if isinstance(value, module)]
    if held:
        name = "module" if "module" in held else held[0]
        return f"This holds a torch.nn.Module: pass its .{name}."
    if any(name == "shadow_params" for name, _ in _attributes(model)):
        return "This is an average of bare parameters: copy them into a module, and pass that."
    return None


def _attributes(thing: object) -> list[tuple[str, Any]]:
    """Return the attributes of an object that are not private, without computing any."""
    own = getattr(thing, "__dict__", {})
    slots = [name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())]
    found = {**{name: getattr(thing, name, None) for name in slots}, **own}
    return [(name, value) for name, value in found.items() if not name.startswith("_")]


@hookimpl
def secateur_adapters() -> list[Adapter]:
    return [TorchAdapter()]


@hookimpl
def secateur_workers() -> Workers | None:
    """Return the processes that torchrun started, or None without it."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "MASTER_ADDR" not in os.environ:
        return None
    from secateur_torch.launched import process_group

    return process_group()
