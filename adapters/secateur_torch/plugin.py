"""Registers the adapter.  Imports no torch: a model of torch cannot exist without it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from secateur import hookimpl
from secateur.adapter import Adapter, Binding
from secateur.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from secateur.adapter import Checkpoint


class TorchAdapter(Adapter):
    """Binds any `torch.nn.Module`, but those that are Keras models or layers."""

    name = "torch"

    def matches(self, model: object) -> bool:
        torch: Any = sys.modules.get("torch")
        nn = getattr(torch, "nn", None)
        return nn is not None and isinstance(model, nn.Module) and not _is_keras(model)

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


@hookimpl
def secateur_adapters() -> list[Adapter]:
    return [TorchAdapter()]
