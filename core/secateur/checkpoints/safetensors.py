"""Safetensors: a length, a JSON header, and the bytes of all tensors.

Read here rather than by the package of that name, which knows no bfloat16 in NumPy: a copy
that differs in a few tensors needs the others' bytes only.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, cast

import numpy as np

from secateur.adapter import Checkpoint, Tensor
from secateur.errors import ModelError
from secateur.files import atomically
from secateur.layout import Array

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
_LARGEST_HEADER = 100_000_000
_META = "__metadata__"
_NOTE = "secateur_policy"


class SafetensorsCheckpoint(Checkpoint):
    """A .safetensors file, its values mapped into memory."""

    adapter = "torch"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._header, self._start = _header(path)
            self._spans = {
                name: _span(entry, path.stat().st_size - self._start)
                for name, entry in self._header.items()
                if name != _META
            }
            self.tensors = {
                name: Tensor(
                    name,
                    _DTYPES.get(self._header[name]["dtype"], self._header[name]["dtype"]),
                    tuple(self._header[name]["shape"]),
                )
                for name in self._spans
            }
        except (KeyError, TypeError, ValueError, RecursionError, OSError) as error:
            raise ModelError(f"{path}: not a whole safetensors file: {error}") from error

    def read(self, name: str) -> Array:
        tensor, (begin, _) = self.tensors[name], self._spans[name]
        dtype = _dtype(tensor)
        if not tensor.size:
            return np.zeros(tensor.shape, dtype)
        mapped = np.memmap(self.path, dtype, "r", self._start + begin, tensor.shape)
        return cast(Array, mapped)

    def write(self, path: Path, changed: Mapping[str, Array], fingerprint: str) -> None:
        meta = {**self._header.get(_META, {}), _NOTE: fingerprint}
        text = json.dumps({**self._header, _META: meta}, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with atomically(path) as new, self.path.open("rb") as old:
            new.write(len(text).to_bytes(8, "little") + text)
            start = new.tell()
            old.seek(self._start)
            shutil.copyfileobj(old, new, 1 << 24)
            for name, values in changed.items():
                new.seek(start + self._spans[name][0])
                new.write(np.ascontiguousarray(values).view(np.uint8).reshape(-1).data)


def _header(path: Path) -> tuple[dict[str, Any], int]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(_LARGEST_HEADER, path.stat().st_size - 8):
            raise ValueError(f"its header claims {length} bytes")
        header = json.loads(file.read(length))
    if not isinstance(header, dict) or not isinstance(header.get(_META, {}), dict):
        raise TypeError("its header is not a table")
    return header, 8 + length


def _span(entry: Any, available: int) -> tuple[int, int]:
    begin, end = entry["data_offsets"]
    shape, dtype = entry["shape"], entry["dtype"]
    if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)):
        raise ValueError(f"offsets {begin} to {end} of shape {shape}")
    if not begin <= end <= available:
        raise ValueError(f"it ends before the tensor at {begin} to {end}; is it cut short?")
    known = {"bfloat16": 2}.get(_DTYPES.get(dtype, ""), 0)
    width = known or (np.dtype(_DTYPES[dtype]).itemsize if dtype in _DTYPES else 0)
    if width and prod(shape) * width != end - begin:
        raise ValueError(f"shape {shape} of {dtype} does not take {end - begin} bytes")
    return begin, end


def _dtype(tensor: Tensor) -> np.dtype[Any]:
    if tensor.dtype == "bfloat16":
        try:
            import ml_dtypes
        except ModuleNotFoundError:
            raise ModelError(
                f"{tensor.name} is bfloat16, which needs ml-dtypes: pip install ml-dtypes"
            ) from None
        found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return found
    if tensor.dtype not in _DTYPES.values():
        raise ModelError(f"{tensor.name}: values of dtype {tensor.dtype} cannot be read")
    return np.dtype(tensor.dtype).newbyteorder("<")
