"""A reader of saved networks that knows nothing of secateur: NumPy, and h5py for Keras."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np


def counts(path: Path) -> dict[str, tuple[int, int]]:
    """Return, by weight, how many numbers a file holds, and how many of them are not zero.

    Vectors (biases and normalization) are left out.
    """
    found = arrays(path)
    return {n: (a.size, int(np.count_nonzero(a))) for n, a in found.items() if a.ndim > 1}


def arrays(path: Path) -> dict[str, Any]:
    """Return every array of a .safetensors, .npz, .keras or .h5 file, by name.

    Raises:
        ValueError: It is none of these.

    """
    readers = {".safetensors": _safetensors, ".npz": _npz, ".keras": _keras, ".h5": _h5}
    if path.suffix not in readers:
        raise ValueError(f"{path.name}: only {', '.join(readers)} are read")
    return readers[path.suffix](path)


def _safetensors(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    data = content[8 + length :]
    found = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            raise ValueError(f"{path.name}: {name} is {entry['dtype']}, and only F32 is read")
        begin, end = entry["data_offsets"]
        found[name] = np.frombuffer(data[begin:end], "<f4").reshape(entry["shape"])
    return found


def _npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _keras(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as file:
        return _h5(io.BytesIO(file.read("model.weights.h5")))


def _h5(source: Any) -> dict[str, Any]:
    import h5py

    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim and not name.startswith("optimizer"):
            found[name] = np.asarray(item)

    with h5py.File(source, "r") as file:
        file.visititems(visit)
    return found
