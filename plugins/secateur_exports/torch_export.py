"""To a program of torch.export, run by PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secateur import ExportSource, StoredTensor
from secateur.layout import Array
from secateur_exports.base import KERAS, PROGRAM, TORCH, ModelExporter


class TorchExporter(ModelExporter):
    """An exporter by the name ``torch-export``: a .pt2 file.

    Example:
        >>> TorchExporter().quantizations
        ('none',)

    """

    kind = "torch-export"
    refused = dict.fromkeys(
        ("float16", "dynamic", "int8"), "a program holds the dtypes of its module"
    )
    extra = "torch"
    packages = {KERAS: ("torch",), TORCH: ("torch",), PROGRAM: ("torch",)}
    runtime = "torch"

    def combination(self, source: ExportSource) -> str | None:
        if source.adapter == KERAS:
            return "it takes PyTorch models; for a Keras model, there is to='onnx'"
        return None

    def convert(self, source: ExportSource, model: Any, path: Path) -> Sequence[str]:
        import torch

        args, kwargs = model.tensors(model.inputs)
        program = model.program or torch.export.export(model.module, args, kwargs)
        torch.export.save(program, path)
        return []

    def run(self, path: Path, model: Any) -> list[Array]:
        import torch

        from secateur_exports.torch_model import leaves

        args, kwargs = model.tensors(model.inputs)
        with torch.no_grad():
            return leaves(torch.export.load(path).module()(*args, **kwargs))

    def tensors(self, path: Path) -> list[StoredTensor]:
        import torch

        from secateur_exports.torch_model import leaves

        state = torch.export.load(path).state_dict
        return [StoredTensor(name, leaves(tensor)[0]) for name, tensor in state.items()]
