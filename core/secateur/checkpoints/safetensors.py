"""Safetensors: a length, a JSON header, and the bytes of all tensors.

Read here rather than by the package of that name, which knows no bfloat16 in NumPy: a copy
that differs in a few tensors needs the others' bytes only.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from secateur.adapter import Checkpoint, Tensor
from secateur.checkpoints.safetensors_header import DTYPES, METADATA, read_header
from secateur.errors import ModelError
from secateur.files import atomically
from secateur.layout import Array

_NOTE = "secateur_policy"


class SafetensorsCheckpoint(Checkpoint):
    """A .safetensors file, its values mapped into memory.

    Its tensors have PyTorch's names.  The format sorts them by dtype and name, so their order
    is not that of the model.
    """

    adapter = "torch"
    ordered = False

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._header = read_header(path)
        except (ValueError, OSError) as error:
            raise ModelError(f"{path}: not a whole safetensors file: {error}") from error
        self.tensors = self._header.tensors

    def read(self, name: str) -> Array:
        tensor, (begin, _) = self.tensors[name], self._header.spans[name]
        dtype = _dtype(self.path, tensor)
        if not tensor.size:
            return np.zeros(tensor.shape, dtype)
        try:
            mapped = np.memmap(self.path, dtype, "r", self._header.start + begin, tensor.shape)
        except (ValueError, OSError) as error:
            raise ModelError(f"{self.path}: {name:.80} cannot be read: {error}") from error
        return cast(Array, mapped)

    def write(self, path: Path, changed: Mapping[str, Array], fingerprint: str) -> None:
        meta = {**(self._header.metadata or {}), _NOTE: fingerprint}
        table = {METADATA: meta, **self._header.entries}
        text = json.dumps(table, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with atomically(path) as new, self.path.open("rb") as old:
            new.write(len(text).to_bytes(8, "little") + text)
            start = new.tell()
            old.seek(self._header.start)
            shutil.copyfileobj(old, new, 1 << 24)
            for name, values in changed.items():
                new.seek(start + self._header.spans[name][0])
                new.write(np.ascontiguousarray(values).view(np.uint8).reshape(-1).data)


def _dtype(path: Path, tensor: Tensor) -> np.dtype[Any]:
    if tensor.dtype not in DTYPES.values():
        raise ModelError(f"{path}: {tensor.name:.80}: {tensor.dtype} values cannot be read")
    if not tensor.dtype.startswith(("bfloat", "float8")):
        return np.dtype(tensor.dtype).newbyteorder("<")
    try:
        import ml_dtypes
    except ModuleNotFoundError:
        raise ModelError(
            f"{path}: {tensor.name:.80} is {tensor.dtype}, which needs ml-dtypes: "
            "pip install ml-dtypes"
        ) from None
    found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, tensor.dtype))
    return found
