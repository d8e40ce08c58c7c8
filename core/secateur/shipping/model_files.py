"""Models from files: a packed file, a checkpoint, or whatever an adapter reads.

Code is never taken from a file or an argument.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from secateur.adapter import Checkpoint
from secateur.checkpoints import SUFFIXES, check_model_file, open_checkpoint
from secateur.errors import ModelError
from secateur.files import policy_in
from secateur.hooks.dispatch import checkpoint_of, read_file, reading_adapter, suffixes_of
from secateur.hooks.registry import registry
from secateur.packing.reader import is_packed
from secateur.shipping.packed_checkpoint import PackedCheckpoint

PACKED = ".packed"
"""The usual suffix of a packed file."""


def read_model_file(path: Path) -> Any:
    """Return the model, or the `Checkpoint`, in a file.

    Args:
        path: A packed file, whatever its suffix, or one with a suffix of `model_suffixes`; or a
            folder of .safetensors files.

    Raises:
        ModelError: The file is missing, damaged, or of a format that nothing here reads.
        OSError: It is a folder, a device or a FIFO, or must not be read.

    """
    if path.suffix == PACKED or (path.is_file() and is_packed(path)):
        return PackedCheckpoint(path)
    if path.suffix in SUFFIXES or path.is_dir():
        return open_checkpoint(path)
    if adapter := reading_adapter(path.suffix):
        check_model_file(path)
        return read_file(adapter, path)
    raise ModelError(
        f"{path}: no model of a known kind; there are: {', '.join(model_suffixes())}. A model "
        "that a program builds is planned there, by secateur.plan(model, policy)."
    )


def checkpoint_file(path: Path) -> Checkpoint:
    """Return the checkpoint in a file; a pruned copy of it can be written.

    Args:
        path: As in `read_model_file`.

    Raises:
        ModelError: As there; or such a file cannot be written.
        OSError: As there.

    """
    adapter = None if path.suffix in (*SUFFIXES, PACKED) else reading_adapter(path.suffix)
    if adapter is None or (path.is_file() and is_packed(path)):
        found: Checkpoint = read_model_file(path)
        return found
    check_model_file(path)
    return checkpoint_of(adapter, path)


def policy_noted_in(path: Path, held: Any) -> str | None:
    """Return the fingerprint of the policy by which a file was pruned, if it says so.

    Args:
        path: The file.
        held: What `read_model_file` returned for it.

    """
    if isinstance(held, Checkpoint):
        return held.noted_policy
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        return policy_in(archive.comment)


def model_suffixes() -> list[str]:
    """Return the suffixes of the files that `read_model_file` reads; a packed one may have any."""
    read = (suffix for adapter in registry().adapters() for suffix in suffixes_of(adapter))
    return [*SUFFIXES, *read, PACKED]
