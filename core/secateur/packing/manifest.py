"""What a packed file says of its tensors: one entry each, as JSON in the file's metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from secateur.errors import ModelError, shown
from secateur.layout import FLOATS
from secateur.packing.dtypes import dtype_named
from secateur.packing.order import Part, is_shape, read_parts, write_part

FORMAT = "secateur-packed"
VERSION = "1"
VALUES = ("float", "int8", "clustered")
"""How kept values are stored: as they are, as int8, or as codes of a codebook."""
BITS = range(2, 9)
"""How many bits a code may have."""
_MOST_TENSORS = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One tensor of a packed file.

    Attributes:
        name: Its name in the framework, or in the file, that it was taken from.
        dtype: The name of its dtype.
        shape: Its shape there.
        values: One of `VALUES`; "float" is exact for every dtype.
        bits: How many bits a code has, for "clustered".
        parts: The prunable weights in it, in the order in which they are stored.
        aliases: Its other names, of a tied tensor.

    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: str = "float"
    bits: int = 0
    parts: tuple[Part, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The dtype itself."""
        return dtype_named(self.dtype)

    @property
    def nbytes(self) -> int:
        """The number of bytes of its values, decoded."""
        return self.size * self.numpy_dtype.itemsize

    @property
    def channels(self) -> int:
        """The number of output channels of its weights together."""
        return sum(part.channels for part in self.parts)


def write_manifest(entries: Sequence[Entry], source: str) -> dict[str, str]:
    """Return the metadata of a packed file.

    Args:
        entries: The tensors.
        source: The adapter whose model it was, or "file".

    """
    tensors = [_write_entry(entry) for entry in entries]
    text = json.dumps(tensors, separators=(",", ":"), ensure_ascii=False)
    return {"format": FORMAT, "version": VERSION, "source": source, "tensors": text}


def _write_entry(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": entry.name,
        "dtype": entry.dtype,
        "shape": list(entry.shape),
        "values": entry.values,
    }
    if entry.values == "clustered":
        found["bits"] = entry.bits
    if entry.parts:
        found["parts"] = [write_part(part) for part in entry.parts]
    if entry.aliases:
        found["aliases"] = list(entry.aliases)
    return found


def read_manifest(metadata: Mapping[str, str]) -> tuple[list[Entry], str]:
    """Return the tensors that the metadata of a file declares, and what they were taken from.

    Raises:
        ModelError: It is no packed file, of a later version, or breaks a rule of the format.

    """
    if metadata.get("format") != FORMAT:
        raise ModelError("its metadata is not that of a packed file")
    if metadata.get("version") != VERSION:
        version = shown(metadata.get("version"))
        raise ModelError(
            f"it has version {version} of the format; this secateur reads {VERSION!r}. "
            "Update the older side."
        )
    try:
        found = json.loads(metadata.get("tensors", ""))
    except (ValueError, RecursionError):
        raise ModelError("its list of tensors is no JSON") from None
    if not isinstance(found, list) or len(found) > _MOST_TENSORS:
        raise ModelError("its list of tensors is no list")
    entries = [_read_entry(each) for each in found]
    names = [name for entry in entries for name in (entry.name, *entry.aliases)]
    if len(set(names)) != len(names):
        raise ModelError("two of its tensors have one name")
    return entries, str(metadata.get("source", ""))


def _read_entry(found: Any) -> Entry:
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        raise ModelError("a tensor has no name")
    name = shown(found["name"])
    shape, dtype, values = found.get("shape"), found.get("dtype"), found.get("values")
    bits, aliases = found.get("bits", 0), found.get("aliases", [])
    try:
        if not isinstance(shape, list) or not is_shape(shape) or not _is_possible(shape):
            raise ModelError(f"{shown(shape)} is no shape")
        if not isinstance(dtype, str):
            raise ModelError("it has no dtype")
        if values not in VALUES or type(bits) is not int or _lacks_bits(values, bits):
            raise ModelError(f"{shown(values)} with {shown(bits)} bits is no form of values")
        if not isinstance(aliases, list) or not all(isinstance(each, str) for each in aliases):
            raise ModelError("its aliases are no names")
        parts = read_parts(found.get("parts", []), prod(shape))
        entry = Entry(found["name"], dtype, tuple(shape), values, bits, parts, tuple(aliases))
        if values != "float" and entry.numpy_dtype.name not in FLOATS:
            raise ModelError(f"{dtype} values cannot be stored as {values}")
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from None
    return entry


def _is_possible(shape: list[int]) -> bool:
    """Return whether the bytes of such an array can be counted."""
    return prod(filter(None, shape)) < 1 << 60


def _lacks_bits(values: str, bits: int) -> bool:
    return values == "clustered" and bits not in BITS
