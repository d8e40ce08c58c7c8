"""What a .keras file holds besides the model."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

_WEIGHTS = "model.weights.h5"
_OPTIMIZER = "optimizer"


def optimizer_bytes(path: Path) -> int:
    """Return how many bytes of a .keras file are variables of the optimizer.

    Args:
        path: A file that Keras has loaded.

    """
    import h5py

    with zipfile.ZipFile(path) as archive:
        if _WEIGHTS not in archive.namelist():
            return 0
        content = io.BytesIO(archive.read(_WEIGHTS))
    sizes: list[int] = []

    def count(name: str, held: Any) -> None:
        if isinstance(held, h5py.Dataset):
            sizes.append(held.nbytes)

    with h5py.File(content, "r") as file:
        if _OPTIMIZER in file:
            file[_OPTIMIZER].visititems(count)
    return sum(sizes)
