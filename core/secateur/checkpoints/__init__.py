"""Checkpoint files, read and pruned without a framework: safetensors and NumPy's .npz.

Another format is another `Checkpoint`, which says what a format has to write.
"""

from __future__ import annotations

from pathlib import Path

from secateur.adapter import Checkpoint, Tensor
from secateur.checkpoints.folder import FolderCheckpoint
from secateur.checkpoints.npz import NpzCheckpoint
from secateur.checkpoints.safetensors import SafetensorsCheckpoint
from secateur.errors import ModelError
from secateur.files import check_input

__all__ = ["SUFFIXES", "Checkpoint", "Tensor", "open_checkpoint"]

_READERS = {".npz": NpzCheckpoint, ".safetensors": SafetensorsCheckpoint}
SUFFIXES = tuple(_READERS)
"""The suffixes of the files that `open_checkpoint` reads."""


def open_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint in a file, or a folder; the values are read on demand.

    Args:
        path: A file with one of `SUFFIXES`, or a folder of .safetensors files.

    Raises:
        ModelError: The file is missing, damaged, or of another format.
        OSError: The file is a device or a FIFO, or must not be read.

    Example:
        >>> open_checkpoint(Path("model.h5"))
        Traceback (most recent call last):
        secateur.errors.ModelError: model.h5: not a checkpoint; there are: .npz, .safetensors

    """
    if path.is_dir():
        return FolderCheckpoint(path)
    if path.suffix not in _READERS:
        raise ModelError(f"{path}: not a checkpoint; there are: {', '.join(SUFFIXES)}")
    check_model_file(path)
    return _READERS[path.suffix](path)


def check_model_file(path: Path) -> None:
    """Check that a file can be read, before a parser words whatever goes wrong.

    Args:
        path: The file.

    Raises:
        ModelError: There is no such file.
        OSError: It is a folder, a device or a FIFO, or must not be read.

    """
    try:
        check_input(path)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    with path.open("rb"):
        pass
