"""Reading a packed file that nobody vouches for: every size is checked before it is used."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from secateur.checkpoints import check_model_file
from secateur.checkpoints.safetensors_header import Header, parse_header
from secateur.errors import ModelError
from secateur.files import check_input
from secateur.layout import Array
from secateur.packing.compression import Stream, is_compressed, most_bytes, open_stream
from secateur.packing.encode import (
    CODEBOOK,
    MASK,
    SCALES,
    VALUES,
    Sections,
    decode,
    restored,
)
from secateur.packing.int8 import scale_dtype
from secateur.packing.manifest import FORMAT, Entry, read_manifest
from secateur.packing.order import canonical_parts

_LARGEST_HEADER = 64 << 20
_NEEDED = {"float": {VALUES}, "int8": {VALUES, SCALES}, "clustered": {VALUES, CODEBOOK}}


class PackedFile:
    """A packed file, checked and in memory; its tensors are decoded on demand.

    Attributes:
        path: The file.
        source: The adapter whose model it was, or "file".
        entries: What it says of each tensor, by the name of the tensor.

    Args:
        path: The file.
        packed: Its bytes, where it is not written yet.

    Raises:
        ModelError: It is damaged, hostile, or no packed file.
        OSError: It cannot be read.

    """

    def __init__(self, path: Path, packed: bytes | None = None) -> None:
        self.path = path
        if packed is None:
            check_model_file(path)
        try:
            if packed is not None:
                found = _read(path, io.BytesIO(packed), len(packed))
            else:
                with path.open("rb") as file:
                    found = _read(path, file, path.stat().st_size)
            header, entries, self.source, self._content = found
            self._sections = _sections(header, entries)
        except (ValueError, ModelError) as error:
            looks_packed = packed is not None or is_packed(path)
            what = "not a whole packed file" if looks_packed else "not a packed file"
            raise ModelError(f"{path}: {what}: {error}") from error
        self.entries = {entry.name: entry for entry in entries}
        self._numbers = {entry.name: number for number, entry in enumerate(entries)}

    def sections(self, name: str) -> Sections:
        """Return the arrays that a tensor is stored in, as views.

        Args:
            name: The name of a tensor.

        """
        found = self._sections[self._numbers[name]]
        return {
            word: self._content[begin:end].view(dtype)
            for word, (begin, end, dtype) in found.items()
        }

    def read(self, name: str) -> Array:
        """Return a tensor in its own layout.

        Args:
            name: The name of a tensor.

        Raises:
            ModelError: Its sections are damaged.

        """
        try:
            return restored(self.entries[name], decode(self.entries[name], self.sections(name)))
        except ModelError as error:
            raise ModelError(f"{self.path}: {name:.80}: {error}") from error

    def read_weights(self, name: str) -> dict[str, Array]:
        """Return the weights in a tensor, in canonical layout.

        Args:
            name: The name of a tensor.

        Raises:
            ModelError: Its sections are damaged.

        """
        entry = self.entries[name]
        try:
            stored = decode(entry, self.sections(name))
        except ModelError as error:
            raise ModelError(f"{self.path}: {name:.80}: {error}") from error
        arrays = canonical_parts(stored, entry.parts)
        return {part.weight: array for part, array in zip(entry.parts, arrays, strict=True)}


def is_packed(path: Path) -> bool:
    """Return whether a file looks like a packed one; only its start is read."""
    check_input(path)
    if is_compressed(path):
        return True
    with path.open("rb") as file:
        start = file.read(4096)
    return f'"format":"{FORMAT}"'.encode() in start


def _read(path: Path, file: IO[bytes], size: int) -> tuple[Header, list[Entry], str, Array]:
    stream = open_stream(path, file)
    length = int.from_bytes(stream.read(8), "little")
    if not 2 <= length <= min(_LARGEST_HEADER, (64 << 10) + 64 * size):
        raise ValueError(f"its header claims {length:,} bytes")
    header = parse_header(_exactly(stream, length))
    entries, source = read_manifest(header.metadata or {})
    end = max((stop for _, stop in header.spans.values()), default=0)
    decoded = sum(entry.nbytes for entry in entries)
    if max(end, decoded) > most_bytes(size):
        raise ValueError(f"{size:,} bytes claim to hold {max(end, decoded):,}")
    content = np.frombuffer(_exactly(stream, end), np.uint8)
    if stream.read(1):
        raise ValueError("bytes follow after its last section")
    return header, entries, source, content


def _exactly(stream: Stream, size: int) -> bytes:
    found = stream.read(size)
    if len(found) != size:
        raise ValueError(f"it ends after {len(found):,} of {size:,} bytes; is it cut short?")
    return found


Spans = Mapping[str, tuple[int, int, "np.dtype[np.generic]"]]


def _sections(header: Header, entries: list[Entry]) -> list[Spans]:
    """Return where the sections of each tensor lie, with the dtype of each."""
    found: list[dict[str, tuple[int, int, np.dtype[np.generic]]]] = [{} for _ in entries]
    for name, tensor in header.tensors.items():
        number, _, word = name.partition(".")
        if not number.isdecimal() or not number.isascii() or int(number[:9]) >= len(entries):
            raise ValueError(f"{name!r:.80} is a section of no tensor")
        entry = entries[int(number[:9])]
        wanted = _dtype(entry, word)
        if wanted is None or tensor.dtype != wanted.name or str(int(number)) != number:
            raise ValueError(f"{name!r:.80} is no section of its tensor, or not {wanted}")
        found[int(number)][word] = (*header.spans[name], wanted)
    for entry, sections in zip(entries, found, strict=True):
        if sections.keys() - {MASK} != _NEEDED[entry.values]:
            raise ValueError(f"{entry.name!r:.80} has the sections {', '.join(sorted(sections))}")
    return list(found)


def _dtype(entry: Entry, word: str) -> np.dtype[np.generic] | None:
    if word in (SCALES, CODEBOOK):
        return scale_dtype(entry.numpy_dtype).newbyteorder("<")
    if word == VALUES and entry.values == "int8":
        return np.dtype(np.int8)
    return np.dtype(np.uint8) if word in (MASK, VALUES) else None
