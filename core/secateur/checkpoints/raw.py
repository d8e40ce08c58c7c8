"""Bytes of files read and written at a position, and the dtypes that they are read as."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np

from secateur.adapter import Tensor
from secateur.errors import ModelError
from secateur.layout import Array

WRITERS = 2
"""How many threads write, and how many arrays wait for them."""
FLOAT8 = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
"""The dtypes of 8 bits that weights of a file may have."""
AT_ONCE = 8 << 20
"""How many bytes are copied at a time."""


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

    def bytes(self, start: int, stop: int) -> Iterator[Array]:
        """Yield the bytes from one position to before another, in pieces."""
        for at in range(start, stop, AT_ONCE):
            yield self.read(at, np.empty(min(AT_ONCE, stop - at), np.uint8))

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


class Writer:
    """Writes flat arrays at positions of an open file, by a few threads.

    A system call fills pages one after another; two of them fill twice as many.

    Args:
        descriptor: The open file; when the block ends all is written.

    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="secateur-writer")
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            while self._waiting and kind is None:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def write(self, values: Array, offset: int) -> int:
        """Write an array at a position, soon, and return the position after it.

        Args:
            values: The array, which nobody changes any more.
            offset: The position.

        Raises:
            OSError: This array, or one before, cannot be written.

        """
        if len(self._waiting) >= WRITERS:
            self._waiting.popleft().result()
        data = np.ascontiguousarray(values).view(np.uint8)
        self._waiting.append(self._pool.submit(self._write, data, offset))
        return offset + data.nbytes

    def _write(self, data: Array, offset: int) -> None:
        view = data.data
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[written:], offset + written


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
