"""The datasets of an untrusted HDF5 file: only what lies in the file itself is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from secateur.errors import ModelError
from secateur.layout import Array

_MOST_INFLATION = 1100
"""How many bytes deflate can make of one; a dataset that claims more is no stored array."""


def datasets_of(file: Any, path: Path) -> dict[str, Any]:
    """Return the datasets of an open file by their names, in its order.

    Links to other files are not followed.

    Args:
        file: The open `h5py.File`.
        path: What errors call it.

    Raises:
        ModelError: A dataset keeps its values in another file, or claims more than is stored.

    """
    import h5py

    found: dict[str, Any] = {}

    def visit(name: str, held: Any) -> None:
        if isinstance(held, h5py.Dataset):
            found[name] = held

    file.visititems(visit)
    for name, held in found.items():
        if held.is_virtual or held.external:
            raise ModelError(f"{path}: {name:.80} keeps its values in another file")
        if held.nbytes > _MOST_INFLATION * max(held.id.get_storage_size(), 1):
            raise ModelError(
                f"{path}: {name:.80} claims {held.nbytes:,} bytes, and "
                f"{held.id.get_storage_size():,} are stored"
            )
    return found


def dtype_of(dataset: Any) -> str:
    """Return the name of the dtype that Keras gives the values of a dataset."""
    if dataset.attrs.get("dtype") == "bfloat16":
        return "bfloat16"
    return str(dataset.dtype.name)


def read(dataset: Any) -> Array:
    """Return the values of a dataset."""
    if dtype_of(dataset) == "bfloat16":
        return np.array(dataset, dtype=ml_dtypes.bfloat16)
    return np.array(dataset)


def same_bits(first: Array, second: Array) -> bool:
    """Return whether two arrays are the same in every bit."""
    return first.dtype == second.dtype and first.tobytes() == second.tobytes()
