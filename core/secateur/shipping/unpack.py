"""Unpacking: a packed file as the .safetensors or .npz file that it was, or could have been."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from secateur.checkpoints import SUFFIXES
from secateur.checkpoints.safetensors_header import DTYPES
from secateur.errors import ModelError
from secateur.files import atomically, check_absent, check_output
from secateur.packing.manifest import Entry
from secateur.packing.reader import PackedFile

_CODES = {name: code for code, name in DTYPES.items()}
_ELSEWHERE = "unpack to .safetensors"
_NOWHERE = "secateur.load_packed(path) returns it as an array"
_LONGEST = 65_000
"""Bytes of a name in an archive, whose field for it has 16 bits."""


def unpack(path: str | Path, out: str | Path, *, overwrite: bool = False) -> Path:
    """Write the tensors of a packed file as a .safetensors or .npz file.

    They have the names, layouts and dtypes of what was packed, and the same bits where they were
    stored exactly.

    Args:
        path: The packed file.
        out: The file to write.
        overwrite: Whether a file at `out` may be replaced.

    Returns:
        The file that was written.

    Raises:
        ModelError: The file is damaged, or the format of `out` does not have a dtype of its.
        OSError: A file cannot be read or written, or `out` exists.

    Example:
        >>> import numpy as np, secateur, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     packed = secateur.pack({"fc": np.eye(100)}, f"{folder}/eye.packed")
        ...     with np.load(unpack(packed.path, f"{folder}/eye.npz")) as file:
        ...         print(file["fc"].shape)
        (100, 100)

    """
    source, target = Path(path), Path(out)
    if target.suffix not in _WRITERS:
        raise ModelError(f"{target}: cannot be written; there are: {', '.join(SUFFIXES)}")
    check_output(target, [source])
    check_absent(target, overwrite)
    packed = PackedFile(source)
    named = [(n, each) for each in packed.entries.values() for n in (each.name, *each.aliases)]
    write = _WRITERS[target.suffix]
    for name, entry in named:
        write.check(target, name, entry)
    with atomically(target) as file:
        write.write(file, packed, named)
    return target


Named = list[tuple[str, Entry]]


class _Writer(Protocol):
    """A format that a packed file is unpacked to."""

    def check(self, target: Path, name: str, entry: Entry) -> None:
        """Raise ModelError where the format does not have the dtype of a tensor."""

    def write(self, file: IO[bytes], packed: PackedFile, named: Named) -> None:
        """Write all tensors, each by its names."""


class _Npz:
    """NumPy's archive, which has every dtype that NumPy itself has."""

    def check(self, target: Path, name: str, entry: Entry) -> None:
        if entry.numpy_dtype.isbuiltin == 2:
            raise ModelError(
                f"{target}: {name:.80} is {entry.dtype}, which a .npz file cannot name; "
                + (_ELSEWHERE if _in_safetensors(entry) else _NOWHERE)
            )
        if "\0" in name or len(name.encode()) > _LONGEST:
            raise ModelError(f"{target}: {name[:80]!r} is no name in a .npz file; {_ELSEWHERE}")

    def write(self, file: IO[bytes], packed: PackedFile, named: Named) -> None:
        with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
            for name, entry in named:
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    values = packed.read(entry.name)
                    np.lib.format.write_array(member, values, allow_pickle=False)


class _Safetensors:
    """Safetensors, written here: the package of that name is no dependency."""

    def check(self, target: Path, name: str, entry: Entry) -> None:
        if not _in_safetensors(entry):
            raise ModelError(
                f"{target}: {name:.80} is {entry.dtype}, which a .safetensors file cannot hold; "
                + ("unpack to .npz" if entry.numpy_dtype.isbuiltin != 2 else _NOWHERE)
            )
        if name == "__metadata__":
            raise ModelError(f"{target}: {name!r} is no name in a .safetensors file; use .npz")

    def write(self, file: IO[bytes], packed: PackedFile, named: Named) -> None:
        # the format puts wide dtypes first, so that all are aligned
        ordered = sorted(named, key=lambda each: (-each[1].numpy_dtype.itemsize, each[0]))
        table, end = {}, 0
        for name, entry in ordered:
            begin, end = end, end + entry.nbytes
            code = _CODES[entry.numpy_dtype.name]
            spans = [begin, end]
            table[name] = {"dtype": code, "shape": list(entry.shape), "data_offsets": spans}
        text = json.dumps(table, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        file.write(len(text).to_bytes(8, "little") + text)
        for _, entry in ordered:
            values = np.ascontiguousarray(packed.read(entry.name))
            file.write(values.reshape(-1).view(np.uint8).data)


def _in_safetensors(entry: Entry) -> bool:
    dtype = entry.numpy_dtype
    return dtype.name in _CODES and dtype.byteorder != ">"


_WRITERS: dict[str, _Writer] = {".npz": _Npz(), ".safetensors": _Safetensors()}
