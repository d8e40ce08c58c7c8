"""A state dict in a .pt or .pth file, as the command line reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor as TorchTensor

from secateur.adapter import Checkpoint, Tensor
from secateur.errors import ModelError
from secateur.layout import Array
from secateur_torch.weight import to_numpy

_NESTED = ("model", "state_dict", "model_state_dict")
"""Where training scripts put the model's state dict beside the optimizer's."""


class TorchCheckpoint(Checkpoint):
    """A state dict, loaded with ``weights_only=True``."""

    adapter = "torch"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch.load has no error class of its own
            why = str(error).strip().splitlines()[0][:200]
            raise ModelError(
                f"{path}: no state dict that can be loaded without running code: {why}"
            ) from error
        self._state = _tensors(loaded)
        if not self._state:
            raise ModelError(f"{path}: holds no state dict; save model.state_dict()")
        self.tensors = {
            name: Tensor(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
            for name, tensor in self._state.items()
        }

    def read(self, name: str) -> Array:
        return to_numpy(self._state[name].detach())

    def write(self, path: Path, changed: Mapping[str, Array], fingerprint: str) -> None:
        raise ModelError(f"{path}: only .safetensors and .npz are written; save as one of these")


def _tensors(loaded: object) -> dict[str, TorchTensor]:
    if not isinstance(loaded, Mapping):
        return {}
    nested = next((loaded[key] for key in _NESTED if isinstance(loaded.get(key), Mapping)), loaded)
    return {k: v for k, v in nested.items() if isinstance(v, TorchTensor) and isinstance(k, str)}
