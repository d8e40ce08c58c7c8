"""NumPy's .npz: a zip archive of arrays."""

from __future__ import annotations

import shutil
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from secateur.adapter import Checkpoint, Pieces, ReadElements
from secateur.arrays import sizes
from secateur.checkpoints.npz_members import SUFFIX, check_archive, declared
from secateur.checkpoints.raw import ElementsInFile, InputFile
from secateur.checkpoints.safetensors import in_one_piece
from secateur.errors import ModelError
from secateur.files import atomically, comment_on, policy_in
from secateur.layout import Array

_LOCAL_HEADER = 30
"""The bytes of a member's own header before its name."""


class NpzCheckpoint(Checkpoint):
    """A .npz file; arrays of objects, which would be unpickled, are not read.

    Its tensors have the order in which they were written.  The archive stays open, so that its
    directory is read once and not for every tensor.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = InputFile(path)
            self._archive = archive = zipfile.ZipFile(path)
            check_archive(archive, path.stat().st_size)
            self.noted_policy = policy_in(archive.comment)
            members = [member for member in archive.infolist() if _is_array(member)]
            found = [declared(archive, member) for member in members]
            self._dtypes = {tensor.name: dtype for tensor, dtype, _ in found}
            self._fortran = {tensor.name for tensor, _, is_fortran in found if is_fortran}
        except Exception as error:  # zipfile and NumPy have no common error for damaged files
            raise ModelError(f"{path}: not a whole .npz file: {error}") from error
        self.tensors = {tensor.name: tensor for tensor, *_ in found}
        self._starts: dict[str, int | None] = {}

    def read(self, name: str) -> Array:
        try:
            with self._archive.open(name + SUFFIX) as file:
                values: Array = np.lib.format.read_array(file, allow_pickle=False)
                file.read(1)  # the checksum is compared at the end of the member
        except Exception as error:  # as above
            raise ModelError(f"{self.path}: {name:.80} cannot be read: {error}") from error
        return values

    def elements(self, name: str) -> ReadElements:
        """Return what reads a tensor; one that is compressed, or not C-ordered, is read whole."""
        if name not in self._starts:
            self._starts[name] = self._start(name)
        start = self._starts[name]
        if start is None:
            return super().elements(name)
        return ElementsInFile(self._file, start, self._dtypes[name])

    def write(self, path: Path, changed: Mapping[str, Array], fingerprint: str) -> None:
        self.rewrite(path, in_one_piece(changed), fingerprint)

    def rewrite(self, path: Path, changed: Mapping[str, Pieces], fingerprint: str) -> None:
        with (
            atomically(path) as file,
            zipfile.ZipFile(self.path) as old,
            zipfile.ZipFile(file, "w", allowZip64=True) as new,
        ):
            for member in old.infolist():
                with new.open(_copy_of(member), "w", force_zip64=True) as target:
                    name = member.filename.removesuffix(SUFFIX)
                    if name in changed and _is_array(member):
                        self._write_array(target, name, changed[name])
                    else:
                        self._copy(old, member, target)
            new.comment = comment_on(fingerprint)
            self._file.check_unchanged()

    def _write_array(self, target: IO[bytes], name: str, pieces: Pieces) -> None:
        dtype, shape = self._dtypes[name], self.tensors[name].shape
        described, is_fortran = np.lib.format.dtype_to_descr(dtype), name in self._fortran
        np.lib.format.write_array_header_1_0(
            target, {"descr": described, "fortran_order": is_fortran, "shape": shape}
        )
        found = pieces()
        if is_fortran:  # such an array was read whole, too
            found = iter([np.concatenate([*found]).reshape(shape).ravel(order="F")])
        for piece in found:
            target.write(np.ascontiguousarray(piece.astype(dtype, copy=False)).view(np.uint8).data)

    def _start(self, name: str) -> int | None:
        """Return where the values of a tensor lie as they are in memory, if they do."""
        member = self._archive.getinfo(name + SUFFIX)
        if member.compress_type != zipfile.ZIP_STORED or name in self._fortran:
            return None
        with self._archive.open(member) as file:
            if np.lib.format.read_magic(file) != (1, 0):
                return None
            np.lib.format.read_array_header_1_0(file)
            header = file.tell()
            while file.read(sizes.PIECE):  # the checksum is compared at the end of the member
                pass
        local = self._file.read(member.header_offset, np.empty(_LOCAL_HEADER, np.uint8)).tobytes()
        lengths: tuple[int, int] = struct.unpack("<2H", local[-4:])
        return int(member.header_offset) + _LOCAL_HEADER + sum(lengths) + header

    def _copy(self, old: zipfile.ZipFile, member: zipfile.ZipInfo, target: IO[bytes]) -> None:
        try:
            with old.open(member) as source:
                shutil.copyfileobj(source, target, 1 << 24)
        except zipfile.BadZipFile as error:
            name = member.filename
            raise ModelError(f"{self.path}: {name:.80} cannot be copied: {error}") from error


def _is_array(member: zipfile.ZipInfo) -> bool:
    return member.filename.endswith(SUFFIX)


def _copy_of(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(member.filename, member.date_time)
    info.compress_type, info.external_attr = member.compress_type, member.external_attr
    return info
