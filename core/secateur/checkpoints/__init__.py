"""Checkpoint files, read and pruned without a framework: safetensors and NumPy's .npz."""

from __future__ import annotations

from pathlib import Path

from secateur.adapter import Checkpoint, Tensor
from secateur.checkpoints.npz import NpzCheckpoint
from secateur.checkpoints.safetensors import SafetensorsCheckpoint
from secateur.errors import ModelError

__all__ = ["SUFFIXES", "Checkpoint", "Tensor", "open_checkpoint"]

_READERS = {".npz": NpzCheckpoint, ".safetensors": SafetensorsCheckpoint}
SUFFIXES = tuple(_READERS)


def open_checkpoint(path: Path) -> Checkpoint:
    """Read what a checkpoint file holds, not yet the values.

    Raises ModelError for a file that is missing, damaged, or of another format.
    """
    if path.suffix not in _READERS:
        raise ModelError(f"{path}: not a checkpoint; there are: {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    return _READERS[path.suffix](path)
