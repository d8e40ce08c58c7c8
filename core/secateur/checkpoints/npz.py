"""NumPy's .npz: a zip archive of arrays."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from secateur.adapter import Checkpoint, Tensor
from secateur.errors import ModelError
from secateur.files import atomically
from secateur.layout import Array

_DAMAGED = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


class NpzCheckpoint(Checkpoint):
    """A .npz file; arrays of objects, which would be unpickled, are not read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = [name for name in archive.namelist() if name.endswith(".npy")]
                self.tensors = {
                    name.removesuffix(".npy"): _tensor(archive, name) for name in members
                }
        except _DAMAGED as error:
            raise ModelError(f"{path}: not a whole .npz file: {error}") from error

    def read(self, name: str) -> Array:
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{name}.npy") as file:
                values: Array = np.lib.format.read_array(file, allow_pickle=False)
                return values
        except _DAMAGED as error:
            raise ModelError(f"{self.path}: {name} cannot be read: {error}") from error

    def write(self, path: Path, changed: Mapping[str, Array], fingerprint: str) -> None:
        with (
            atomically(path) as file,
            zipfile.ZipFile(self.path) as old,
            zipfile.ZipFile(file, "w", allowZip64=True) as new,
        ):
            for member in old.infolist():
                with new.open(_alike(member), "w", force_zip64=True) as target:
                    name = member.filename.removesuffix(".npy")
                    if name in changed:
                        np.lib.format.write_array(target, changed[name], allow_pickle=False)
                    else:
                        with old.open(member) as source:
                            shutil.copyfileobj(source, target, 1 << 24)
            new.comment = f"secateur_policy {fingerprint}".encode()


def _alike(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(member.filename, member.date_time)
    info.compress_type, info.external_attr = member.compress_type, member.external_attr
    return info


def _tensor(archive: zipfile.ZipFile, member: str) -> Tensor:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    return Tensor(member.removesuffix(".npy"), dtype.name, shape)
