"""Compressors, and their streams read within bounded memory.

A hostile file may declare any size.  What is read from it is at most `RATIO` times as long as
the file, or `ALLOWANCE`, if that is more.
"""

from __future__ import annotations

import gzip
import io
import lzma
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Protocol

from secateur.errors import ModelError, nearest, shown

RATIO = 1000
ALLOWANCE = 64 << 20
"""How many bytes a file may come to in any case."""
COMPRESSIONS = ("xz", "zstd", "none")
_XZ_MAGIC, _ZSTD_MAGIC = b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
_LARGEST_WINDOW = 64 << 20
_CHUNK = 1 << 20
MISSING_ZSTD = 'zstd needs the package zstandard: pip install "secateur[pack]"'


def most_bytes(file_size: int) -> int:
    """Return how many bytes a file of some size may come to."""
    return max(ALLOWANCE, RATIO * file_size)


def has_zstd() -> bool:
    """Return whether zstd can be used."""
    return find_spec("zstandard") is not None


def check_compression(name: str) -> None:
    """Check that a compression exists and can be used.

    Raises:
        ModelError: There is none of that name, or its package is missing.

    """
    if name not in COMPRESSIONS:
        raise ModelError(f"no compression {shown(name)}: {nearest(str(name), COMPRESSIONS)}")
    if name == "zstd" and not has_zstd():
        raise ModelError(MISSING_ZSTD)


def compress(content: bytes, name: str) -> bytes:
    """Return some bytes, compressed as a packed file is."""
    if name == "xz":
        return lzma.compress(content, format=lzma.FORMAT_XZ, filters=[_lzma2(len(content))])
    return _zstd(content, 19) if name == "zstd" else content


def _lzma2(size: int) -> dict[str, Any]:
    # bits and byte planes have neither words nor alignment, for which the defaults are made
    window = min(_LARGEST_WINDOW, max(1 << 16, 1 << (size - 1).bit_length()))
    preset = 9 | lzma.PRESET_EXTREME
    return {"id": lzma.FILTER_LZMA2, "preset": preset, "lc": 0, "pb": 0, "dict_size": window}


def _zstd(content: bytes, level: int) -> bytes:
    import zstandard

    found: bytes = zstandard.ZstdCompressor(level=level, write_checksum=True).compress(content)
    return found


def _length(compressor: Callable[[bytes], bytes]) -> Callable[[bytes], int]:
    return lambda content: len(compressor(content))


def measures() -> dict[str, Callable[[bytes], int]]:
    """Return how long some bytes become, by the name of a general compressor.

    gzip and xz as their programs do it; zstd at level 9, where zstandard is installed.
    """
    found: dict[str, Callable[[bytes], int]] = {
        "gzip": _length(lambda content: gzip.compress(content, 6, mtime=0))
    }
    if has_zstd():
        found["zstd"] = _length(lambda content: _zstd(content, 9))
    return {**found, "xz": _length(lambda content: lzma.compress(content, preset=6))}


class Stream(Protocol):
    """What a packed file comes to, read from the start."""

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer only at the end."""
        ...


def open_stream(path: Path, file: IO[bytes]) -> Stream:
    """Return the content of a packed file; which compression it has is seen from its start.

    Raises:
        ModelError: It needs a package that is missing.

    """
    start = file.read(8)
    file.seek(0)
    if start.startswith(_XZ_MAGIC):
        return _XzStream(file)
    if not start.startswith(_ZSTD_MAGIC):
        return file
    if not has_zstd():
        raise ModelError(f"{path}: {MISSING_ZSTD}")
    return _ZstdStream(file)


def is_compressed(path: Path) -> bool:
    """Return whether a file begins as an xz or zstd stream does."""
    with path.open("rb") as file:
        return file.read(8).startswith((_XZ_MAGIC, _ZSTD_MAGIC))


class _XzStream:
    """An xz stream; the memory that it asks for is limited."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=2 * _LARGEST_WINDOW)

    def read(self, size: int) -> bytes:
        found = io.BytesIO()
        try:
            while found.tell() < size and not self._decompressor.eof:
                chunk = b""
                if self._decompressor.needs_input and not (chunk := self._file.read(_CHUNK)):
                    raise ValueError("its compressed stream is cut short")
                wanted = min(_CHUNK, size - found.tell())
                found.write(self._decompressor.decompress(chunk, wanted))
            if self._decompressor.eof and (self._decompressor.unused_data or self._file.read(1)):
                raise ValueError("bytes follow after its compressed stream")
        except lzma.LZMAError as error:
            raise ValueError(f"its xz stream is damaged: {error}") from error
        return found.getvalue()


class _ZstdStream:
    """A zstd stream; the memory that it asks for is limited."""

    def __init__(self, file: IO[bytes]) -> None:
        import zstandard

        decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
        self._error = zstandard.ZstdError
        self._reader: Any = decompressor.stream_reader(file, read_across_frames=True)

    def read(self, size: int) -> bytes:
        try:
            found: bytes = self._reader.read(size)
        except self._error as error:
            raise ValueError(f"its zstd stream is damaged: {error}") from error
        return found
