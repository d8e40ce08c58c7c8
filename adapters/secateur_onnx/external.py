"""Values that an ONNX file keeps in another file, which must lie in its own folder."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

from secateur.errors import ModelError, shown


def external_bytes(tensor: Any, model: Path) -> bytes:
    """Return the values of a tensor that are in another file.

    Args:
        tensor: A `TensorProto`.
        model: The .onnx file.

    Raises:
        ModelError: The other file does not lie in the folder of the model, or is too short.

    """
    entries = {each.key: each.value for each in tensor.external_data}
    location = entries.get("location", "")
    path = _inside(location, model, tensor.name)
    try:
        offset = int(entries.get("offset", 0))
        length = int(entries["length"]) if "length" in entries else path.stat().st_size - offset
    except ValueError:
        raise ModelError(f"{model}: {tensor.name:.80} has no numbers for its place") from None
    if offset < 0 or length < 0 or offset + length > path.stat().st_size:
        raise ModelError(
            f"{model}: {tensor.name:.80} is {length:,} bytes from {offset:,} of {path.name}, which "
            f"has {path.stat().st_size:,}"
        )
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _inside(location: str, model: Path, name: str) -> Path:
    """Return the path of a file of values, if it is a regular file in the folder of the model."""
    parts = PurePosixPath(location).parts
    folder = os.path.realpath(model.parent)
    path = os.path.realpath(Path(folder, *parts)) if parts else folder
    outside = PurePosixPath(location).is_absolute() or ".." in parts or "\\" in location
    if outside or os.path.commonpath([folder, path]) != folder:
        raise ModelError(
            f"{model}: {name:.80} keeps its values in {shown(location)}, outside the folder of the "
            "file, where nothing is read"
        )
    if not Path(path).is_file():
        raise ModelError(f"{model}: {name:.80} keeps its values in {shown(location)}: no such file")
    return Path(path)
