"""Safetensors: a length, a JSON header, and the bytes of all tensors.

Read here rather than by the package of that name, which knows no bfloat16 in NumPy: a copy
that differs in a few tensors needs the others' bytes only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from secateur.adapter import Checkpoint, Pieces, ReadElements
from secateur.checkpoints.raw import (
    ElementsInFile,
    InputFile,
    PlacedPieces,
    Writer,
    dtype_of,
)
from secateur.checkpoints.safetensors_header import METADATA, read_header
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
            self._file = InputFile(path)
            self._header = read_header(path)
        except (ValueError, OSError) as error:
            raise ModelError(f"{path}: not a whole safetensors file: {error}") from error
        self.tensors = self._header.tensors
        self.noted_policy = (self._header.metadata or {}).get(_NOTE)

    def read(self, name: str) -> Array:
        tensor, (begin, _) = self.tensors[name], self._header.spans[name]
        dtype = self._dtype(name)
        if not tensor.size:
            return np.zeros(tensor.shape, dtype)
        try:
            mapped = np.memmap(self.path, dtype, "r", self._header.start + begin, tensor.shape)
        except (ValueError, OSError) as error:
            raise ModelError(f"{self.path}: {name:.80} cannot be read: {error}") from error
        return cast(Array, mapped)

    def elements(self, name: str) -> ReadElements:
        offset = self._header.start + self._header.spans[name][0]
        return ElementsInFile(self._file, offset, self._dtype(name))

    def write(self, path: Path, changed: Mapping[str, Array], fingerprint: str) -> None:
        self.rewrite(path, in_one_piece(changed), fingerprint)

    def rewrite(self, path: Path, changed: Mapping[str, Pieces], fingerprint: str) -> None:
        with atomically(path) as new:
            self.write_into(new, changed, fingerprint)

    def write_into(self, new: IO[bytes], changed: Mapping[str, Pieces], fingerprint: str) -> None:
        """Write the copy into an open file, as `rewrite` does into one of a name."""
        meta = {**(self._header.metadata or {}), _NOTE: fingerprint}
        table = {METADATA: meta, **self._header.entries}
        text = json.dumps(table, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        new.write(len(text).to_bytes(8, "little") + text)
        new.flush()
        start = 8 + len(text)
        with Writer(new.fileno()) as writer:
            for name in self.tensors:
                begin, end = self._header.spans[name]
                if name in changed:
                    self._write(writer, start + begin, name, changed[name])
                else:
                    first = self._header.start + begin
                    writer.copy(self._file, first, first + end - begin, start + begin)
        self._file.check_unchanged()

    def _write(self, writer: Writer, offset: int, name: str, pieces: Pieces) -> None:
        """Write the new values of a tensor."""
        itemsize = self._dtype(name).itemsize
        if isinstance(pieces, PlacedPieces):
            pieces.place(
                lambda at, piece, done: writer.write_later(offset + at * itemsize, piece, done),
                writer.wait,
            )
            return
        given = 0
        for piece in pieces():
            writer.write(offset + given * itemsize, piece)
            given += len(piece)
        if given != self.tensors[name].size:
            raise ModelError(f"{self.path}: {name:.80}: the new values are not as many")

    def _dtype(self, name: str) -> np.dtype[Any]:
        return dtype_of(self.tensors[name], self.path).newbyteorder("<")


def in_one_piece(changed: Mapping[str, Array]) -> dict[str, Pieces]:
    """Return tensors as pieces, each computed when it is asked for."""

    def pieces(name: str) -> Iterator[Array]:
        yield np.ascontiguousarray(changed[name]).reshape(-1)

    return {name: lambda name=name: pieces(name) for name in changed}  # type: ignore[misc]
