"""Bytes of files read and written at a position, and the dtypes that they are read as."""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np

from secateur.adapter import Tensor
from secateur.arrays import sizes
from secateur.arrays.chunks import Behind
from secateur.arrays.memory import ALIGNMENT, aligned
from secateur.errors import ModelError
from secateur.layout import Array

FLOAT8 = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
"""The dtypes of 8 bits that weights of a file may have."""
_WAITING = 48 << 20
"""The most bytes that wait until they are written, while a threshold is found."""
_TOGETHER, _BEHIND = 16 << 20, 128 << 20
"""After how many bytes the disk is told to write, and of how many it may have written some."""

Put = Callable[[int, Array, Callable[[], object]], None]


class InputFile:
    """A file that is read at any position, by several threads, and never written.

    Args:
        path: The file; it is opened when it is read first, and must not change.

    """

    def __init__(self, path: Path) -> None:
        self._path, self._descriptor = path, -1
        self._status = _identity(path.stat())

    def read(self, offset: int, array: Array) -> Array:
        """Fill a flat array with the bytes at a position, and return it."""
        view = array.view(np.uint8).data
        while view:
            read = os.preadv(self._open(), [view], offset)
            if not read:
                raise ModelError(f"{self._path}: is shorter than its header says, or was cut short")
            view, offset = view[read:], offset + read
        return array

    def check_unchanged(self) -> None:
        """Check that the file is the one whose header was read.

        Raises:
            ModelError: It was written to, or replaced, since then.

        """
        now = [_identity(self._path.stat())]
        if self._descriptor >= 0:
            now.append(_identity(os.fstat(self._descriptor)))
        if any(each != self._status for each in now):
            raise ModelError(f"{self._path}: changed while it was read; nothing was written")

    def _open(self) -> int:
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            weakref.finalize(self, os.close, self._descriptor)
        return self._descriptor


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class ElementsInFile:
    """Reads elements that lie in a file as they are in memory.

    Args:
        file: The file.
        offset: The byte at which the first of them begins.
        dtype: Their dtype in the file.

    """

    def __init__(self, file: InputFile, offset: int, dtype: np.dtype[Any]) -> None:
        self._file, self._offset, self._dtype = file, offset, dtype

    def __call__(self, start: int, stop: int) -> Array:
        values = self.into(start, aligned(stop - start, self._dtype))
        return values.astype(self._dtype.newbyteorder("="), copy=False)

    def into(self, start: int, array: Array) -> Array:
        """Fill an array with the elements from one on, in the order of bytes of the file."""
        return self._file.read(self._offset + start * self._dtype.itemsize, array)


class PlacedPieces(ABC):
    """The new values of a tensor, in pieces that are written later, from memory used again.

    Where a file is written at any position, this takes the place of an iterator over pieces.
    """

    @abstractmethod
    def place(self, put: Put, wait: Callable[[], object]) -> None:
        """Give all pieces.

        Args:
            put: Takes the index of the first element of a piece, the piece, flat, and what is
                called when it was written.
            wait: Waits until all pieces were written, those of earlier tensors too.

        """


class Writer:
    """Writes at any position of an open file.

    Pages that the disk has are given back at once, so that they are used again: a file larger
    than memory would otherwise take the place of all that other programs have in theirs, and a
    page that is new takes the system longer than to fill it.

    Args:
        descriptor: The open file.

    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._since = descriptor, 0
        self._behind = Behind(_WAITING)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        """Wait until all was written; after an error no thread writes any more."""
        self._behind.__exit__(*error)

    def write_later(self, offset: int, values: Array, done: Callable[[], object]) -> None:
        """Write an array at a position, while the caller goes on.

        Args:
            offset: The position.
            values: The array, flat; nobody else uses it until it was written.
            done: Called then.

        Raises:
            OSError: Something given before cannot be written.

        """

        def write() -> None:
            self.write(offset, values)
            done()

        self._behind.do(write, values.nbytes)

    def wait(self) -> None:
        """Wait until all was written.

        Raises:
            OSError: Something cannot be written.

        """
        self._behind.wait()

    def write(self, offset: int, values: Array) -> None:
        """Write an array at a position.

        Args:
            offset: The position.
            values: The array, flat.

        Raises:
            OSError: It cannot be written.

        """
        view, at = np.ascontiguousarray(values).view(np.uint8).data, offset
        while view:
            written = os.pwrite(self._descriptor, view[: -at % ALIGNMENT or len(view)], at)
            view, at = view[written:], at + written
        self._since += at - offset
        if self._since >= _TOGETHER and hasattr(os, "posix_fadvise"):
            start = max(0, at - _BEHIND)
            os.posix_fadvise(self._descriptor, start, at - start, os.POSIX_FADV_DONTNEED)
            self._since = 0

    def copy(self, file: InputFile, start: int, stop: int, offset: int) -> None:
        """Write the bytes of another file from one position to before another.

        Args:
            file: The file.
            start: The first position in it.
            stop: The position after the last.
            offset: Where the first byte goes.

        """
        buffer = aligned(min(sizes.PIECE, stop - start), np.dtype(np.uint8))
        for at in range(start, stop, sizes.PIECE):
            self.write(offset + at - start, file.read(at, buffer[: min(sizes.PIECE, stop - at)]))


def dtype_of(tensor: Tensor, path: Path) -> np.dtype[Any]:
    """Return the dtype of a tensor's values.

    Args:
        tensor: The tensor.
        path: The file that holds it, for messages.

    Raises:
        ModelError: NumPy has no such dtype, or ml-dtypes is missing.

    """
    if not tensor.dtype.startswith(("bfloat", "float8")):
        try:
            return np.dtype(tensor.dtype)
        except TypeError:
            why = f"{tensor.dtype} values cannot be read"
            raise ModelError(f"{path}: {tensor.name:.80}: {why}") from None
    try:
        import ml_dtypes
    except ModuleNotFoundError:
        raise ModelError(
            f"{path}: {tensor.name:.80} is {tensor.dtype}, which needs ml-dtypes: "
            "pip install ml-dtypes"
        ) from None
    found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, tensor.dtype))
    return found


def comparable(values: Array) -> Array:
    """Return float8 values as float16, which holds them all in the order of their bits.

    Args:
        values: Values of any dtype; those of another are returned as they are.

    """
    return values.astype(np.float16) if values.dtype.name in FLOAT8 else values
