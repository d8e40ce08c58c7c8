"""NumPy's .npz: a zip archive of arrays."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from secateur.adapter import Checkpoint
from secateur.checkpoints.npz_members import SUFFIX, check_archive, declared
from secateur.errors import ModelError
from secateur.files import atomically
from secateur.layout import Array


class NpzCheckpoint(Checkpoint):
    """A .npz file; arrays of objects, which would be unpickled, are not read.

    Its tensors have the order in which they were written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                check_archive(archive, path.stat().st_size)
                members = [member for member in archive.infolist() if _is_array(member)]
                tensors = [declared(archive, member) for member in members]
        except Exception as error:  # zipfile and NumPy have no common error for damaged files
            raise ModelError(f"{path}: not a whole .npz file: {error}") from error
        self.tensors = {tensor.name: tensor for tensor in tensors}

    def read(self, name: str) -> Array:
        try:
            with (
                zipfile.ZipFile(self.path) as archive,
                archive.open(name + SUFFIX) as file,
            ):
                values: Array = np.lib.format.read_array(file, allow_pickle=False)
                file.read(1)  # the checksum is compared at the end of the member
        except Exception as error:  # as above
            raise ModelError(f"{self.path}: {name:.80} cannot be read: {error}") from error
        return values

    def write(self, path: Path, changed: Mapping[str, Array], fingerprint: str) -> None:
        with (
            atomically(path) as file,
            zipfile.ZipFile(self.path) as old,
            zipfile.ZipFile(file, "w", allowZip64=True) as new,
        ):
            for member in old.infolist():
                with new.open(_copy_of(member), "w", force_zip64=True) as target:
                    name = member.filename.removesuffix(SUFFIX)
                    if name in changed and _is_array(member):
                        np.lib.format.write_array(target, changed[name], allow_pickle=False)
                    else:
                        self._copy(old, member, target)
            new.comment = f"secateur_policy {fingerprint}".encode()

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
