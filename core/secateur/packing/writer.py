"""Writing a packed file: a safetensors file of sections, compressed as a whole."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from secateur.errors import ModelError
from secateur.packing.compression import RATIO, compress, most_bytes
from secateur.packing.encode import CODEBOOK, MASK, SCALES, VALUES, Sections
from secateur.packing.manifest import Entry, write_manifest

_DTYPES = {"float64": "F64", "float32": "F32", "int8": "I8", "uint8": "U8"}
_ORDER = (SCALES, CODEBOOK, MASK, VALUES)
"""Sections of one form lie together, the widest first, so that all are aligned."""


def to_bytes(encoded: Sequence[tuple[Entry, Sections]], source: str, compression: str) -> bytes:
    """Return the bytes of a packed file.

    Args:
        encoded: The tensors.
        source: The adapter whose model it was, or "file".
        compression: "xz", "zstd" or "none".

    Raises:
        ModelError: It would be so small that a reader, which bounds its memory, refuses it.

    """
    entries = [entry for entry, _ in encoded]
    arrays = {
        f"{n}.{word}": array
        for n, (_, found) in enumerate(encoded)
        for word, array in found.items()
    }
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, _ORDER.index(_word(name))))
    table: dict[str, object] = {"__metadata__": write_manifest(entries, source)}
    end = 0
    for name in order:
        begin, end = end, end + arrays[name].nbytes
        table[name] = {
            "dtype": _DTYPES[arrays[name].dtype.name],
            "shape": list(arrays[name].shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    body = [_little_endian(arrays[name]) for name in order]
    content = b"".join([len(text).to_bytes(8, "little"), text, *body])
    packed = compress(content, compression)
    decoded = sum(entry.nbytes for entry in entries)
    if max(decoded, len(content)) > most_bytes(len(packed)):
        raise ModelError(
            f"{decoded:,} bytes would be packed into {len(packed):,}, and a reader refuses more "
            f"than {RATIO:,} times the size of a file; pack with compression='none'"
        )
    return packed


def _word(name: str) -> str:
    return name.rpartition(".")[2]


def _little_endian(array: np.typing.NDArray[np.generic]) -> bytes:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
