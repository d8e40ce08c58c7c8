"""A folder of .safetensors files, as large models are published, with an index or a single file.

The folder is read through ``*.safetensors.index.json``, whose ``weight_map`` says which file holds
a tensor.  A copy has everything that the folder has: the configuration, the tokenizer and the
index stay as they are.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from secateur.adapter import Checkpoint, Pieces, ReadElements, Tensor
from secateur.checkpoints.safetensors import SafetensorsCheckpoint, in_one_piece
from secateur.errors import ModelError, listed
from secateur.files import NewFolder, check_input, is_same_file, read_bounded
from secateur.layout import Array

INDEX = ".safetensors.index.json"
"""How the name of an index ends."""
SHARD = ".safetensors"
_LARGEST_INDEX = 100_000_000
_WEIGHTS = (SHARD, ".bin", ".pt", ".pth", ".ckpt", ".h5", ".keras", ".msgpack", ".onnx", ".gguf")
"""How files end in which other programs keep the weights of a model."""


class FolderCheckpoint(Checkpoint):
    """A folder of .safetensors files.

    Attributes:
        files: Each file that holds tensors, by its name.
        file_of: The name of the file that holds a tensor.

    """

    adapter = "torch"
    ordered = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._index = _index_of(path)
        named = None if self._index is None else _weight_map(self._index)
        shards = _single_file(path) if named is None else sorted(set(named.values()))
        self.files = {shard: _open(path, shard) for shard in shards}
        self.file_of: dict[str, str] = {}
        self.tensors: dict[str, Tensor] = {}
        for shard, file in self.files.items():
            for name, tensor in file.tensors.items():
                if other := self.file_of.get(name):
                    raise ModelError(f"{path}: {name!r:.80} is in {other} and in {shard}")
                self.file_of[name] = shard
                self.tensors[name] = tensor
        self.untouched = sorted(
            each.name
            for each in path.iterdir()
            if each.suffix in _WEIGHTS and each.name not in self.files
        )
        noted = {file.noted_policy for file in self.files.values()}
        self.noted_policy = noted.pop() if len(noted) == 1 else None
        if named is not None:
            _check_index(path, named, self.file_of)

    def read(self, name: str) -> Array:
        return self.files[self.file_of[name]].read(name)

    def elements(self, name: str) -> ReadElements:
        return self.files[self.file_of[name]].elements(name)

    def write(self, path: Path, changed: Mapping[str, Array], fingerprint: str) -> None:
        self.rewrite(path, in_one_piece(changed), fingerprint)

    def rewrite(self, path: Path, changed: Mapping[str, Pieces], fingerprint: str) -> None:
        new = NewFolder(path)
        try:
            self.write_files(new, list(self.files), changed, fingerprint)
            new.publish()
            self.copy_rest(new.path)
            new.finish(replaces=self.replaced_by(path))
        finally:
            new.close()

    def replaced_by(self, path: Path) -> bool:
        """Return whether a path leads to this very folder."""
        return is_same_file(path, self.path)

    def check_rest(self) -> None:
        """Check that what the folder has besides the files with tensors can be copied.

        Raises:
            OSError: Something in it is no file and no folder, or a link leads nowhere or to a
                folder that holds it.

        """
        _check_files(self.path, ())

    def write_files(
        self, new: NewFolder, names: list[str], changed: Mapping[str, Pieces], fingerprint: str
    ) -> None:
        """Write some of the files into a new folder.

        Args:
            new: The folder.
            names: The names of the files.
            changed: As in `rewrite`; the tensors of these files only.
            fingerprint: As in `rewrite`.

        """
        for name in names:
            self.files[name].write_into(new.create(name), changed, fingerprint)

    def copy_rest(self, path: Path) -> None:
        """Copy what the folder has besides the files that hold tensors.

        Args:
            path: The new folder.

        """
        for each in self.path.iterdir():
            if each.name in self.files:
                continue
            if each.is_dir():
                shutil.copytree(each, path / each.name)
            else:
                shutil.copy2(each, path / each.name)


def _check_files(folder: Path, above: tuple[Path, ...]) -> None:
    real = folder.resolve()
    if real in above or (above and real in above[0].parents):
        raise OSError(errno.ELOOP, "a link to a folder that holds it", str(folder))
    for each in folder.iterdir():
        if each.is_dir():
            _check_files(each, (*above, real))
        else:
            check_input(each)


def _index_of(path: Path) -> Path | None:
    found = sorted(each for each in path.iterdir() if each.name.endswith(INDEX))
    if len(found) > 1:
        names = listed([each.name for each in found], 8)
        raise ModelError(f"{path}: has {len(found)} indices ({names}); give a folder with one")
    return found[0] if found else None


def _single_file(path: Path) -> list[str]:
    found = sorted(each.name for each in path.iterdir() if each.suffix == SHARD)
    if len(found) != 1:
        has = f"{len(found)} .safetensors files and no index" if found else "no .safetensors file"
        raise ModelError(f"{path}: has {has}; wanted a file *{INDEX}, or one .safetensors file")
    return found


def _weight_map(index: Path) -> dict[str, str]:
    """Return which file holds each tensor, by the index."""
    try:
        table = json.loads(read_bounded(index, _LARGEST_INDEX), object_pairs_hook=_distinct)
        found = table.get("weight_map") if isinstance(table, dict) else None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{index}: no index of a checkpoint: {error}") from error
    if not isinstance(found, dict) or not found:
        raise ModelError(f"{index}: its weight_map names no tensor")
    for name, shard in found.items():
        if not isinstance(shard, str) or not _is_plain(shard):
            raise ModelError(
                f"{index}: {name!r:.80} is in {shard!r:.80}, which is no .safetensors file of this "
                "folder"
            )
    return found


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("it declares a name twice")
    return table


def _is_plain(name: str) -> bool:
    """Return whether a name is one of a .safetensors file, and leads to no other folder."""
    return PurePosixPath(name).name == name and "\\" not in name and name.endswith(SHARD)


def _open(path: Path, shard: str) -> SafetensorsCheckpoint:
    try:
        check_input(path / shard)
    except FileNotFoundError:
        raise ModelError(f"{path}: the index names {shard!r:.80}, and there is none") from None
    return SafetensorsCheckpoint(path / shard)


def _check_index(path: Path, named: Mapping[str, str], held: Mapping[str, str]) -> None:
    """Check that the index and the files agree."""
    for name, shard in named.items():
        if held.get(name) != shard:
            raise ModelError(f"{path}: the index says that {name!r:.80} is in {shard}; it is not")
    for name, shard in held.items():
        if name not in named:
            raise ModelError(f"{path}: {shard} holds {name!r:.80}, which the index does not name")
