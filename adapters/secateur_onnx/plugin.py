"""Registers the adapter of .onnx files.  Light: onnx is imported when a file is read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from secateur import hookimpl
from secateur.adapter import Adapter
from secateur.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from secateur.adapter import Binding, Checkpoint


class OnnxAdapter(Adapter):
    """Reads and writes .onnx files; no model in memory is one of its own."""

    name = "onnx"

    def matches(self, model: object) -> bool:
        return False

    def hint(self, model: object) -> str | None:
        """Return what to do with a model of onnx that was loaded."""
        proto = getattr(sys.modules.get("onnx"), "ModelProto", None)
        if proto is None or not isinstance(model, proto):
            return None
        return "This is an ONNX model: save it, and use the command line, or verify, on the file."

    @property
    def suffixes(self) -> tuple[str, ...]:
        return (".onnx",)

    def read_file(self, path: Path) -> Checkpoint:
        """Return the initializers of a file."""
        try:
            from secateur_onnx.checkpoint import OnnxCheckpoint
        except ModuleNotFoundError as error:
            raise ModelError(
                f'{path}: reading it needs onnx: pip install "secateur[onnx]" ({error})'
            ) from error
        return OnnxCheckpoint(path)

    def bind(self, model: Any) -> Binding:
        raise ModelError("an ONNX model is pruned as a file: secateur prune")


@hookimpl
def secateur_adapters() -> list[Adapter]:
    return [OnnxAdapter()]
