"""A packed file as a checkpoint, so that the command line reads it as any other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from secateur.adapter import Checkpoint, Tensor
from secateur.errors import ModelError
from secateur.layout import Array
from secateur.packing.reader import PackedFile


class PackedCheckpoint(Checkpoint):
    """A packed file; its tensors have the names and layouts of where they were taken from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.packed = PackedFile(path)
        source = self.packed.source
        self.adapter = "numpy" if source == "file" else source
        self.tensors = {
            entry.name: Tensor(entry.name, entry.numpy_dtype.name, entry.shape)
            for entry in self.packed.entries.values()
        }

    def read(self, name: str) -> Array:
        return self.packed.read(name)

    def write(self, path: Path, changed: Mapping[str, Array], fingerprint: str) -> None:
        raise ModelError(f"{path}: a packed file is not pruned; unpack it first: secateur unpack")
