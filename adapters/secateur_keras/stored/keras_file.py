"""A .keras file of which a pruned copy is written: every other byte of its weights stays."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from secateur import atomically
from secateur.adapter import Checkpoint, KnownWeight, Tensor
from secateur.errors import ModelError
from secateur.layout import Array
from secateur_keras.binding import KerasBinding
from secateur_keras.stored.datasets import datasets_of, read, same_bits
from secateur_keras.weight import KerasWeight, to_numpy

WEIGHTS = "model.weights.h5"
_MOST_INFLATION = 200
_SMALL = 64 << 20


def check_archive(path: Path) -> None:
    """Check that a .keras file is a whole zip archive that does not swell beyond measure.

    Args:
        path: The file.

    Raises:
        ModelError: It is no .keras file, or claims far more bytes than it has.

    """
    try:
        with zipfile.ZipFile(path) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ModelError(f"{path}: not a whole .keras file: {error}") from error
    stored = path.stat().st_size
    if claimed > _SMALL + _MOST_INFLATION * stored:
        raise ModelError(f"{path}: {stored:,} bytes that claim to hold {claimed:,}")


class KerasFile(Checkpoint):
    """The model in a .keras file, as a checkpoint: a tensor is a variable.

    Args:
        path: The file.
        model: The model that Keras loaded from it.

    """

    adapter = "keras"

    def __init__(self, path: Path, model: Any) -> None:
        self.path = path
        self._model = model
        binding = KerasBinding(model)
        names = dict(_named(model.variables))
        self._variables = {name: variable for variable, name in names.values()}
        self.weights = [_stored(weight, names) for weight in binding.weights]
        self.layers = binding.layers
        self.skipped = list(binding.skipped)
        held = {weight.tensor for weight in self.weights}
        self.tensors = {
            name: Tensor(name, str(variable.dtype), tuple(variable.shape))
            for name, variable in self._variables.items()
            if variable.trainable or name in held
        }

    def read(self, name: str) -> Array:
        return to_numpy(self._variables[name].value)

    def write(self, path: Path, changed: Mapping[str, Array], fingerprint: str) -> None:
        """Write a copy of the archive in which the datasets of pruned variables are replaced."""
        for name in self.tensors:
            if name in changed:
                self._variables[name].assign(changed[name])
        with tempfile.TemporaryDirectory() as folder:
            saved, weights = Path(folder, "pruned.weights.h5"), Path(folder, WEIGHTS)
            self._model.save_weights(saved)
            self._extract(weights)
            self._replace(weights, saved)
            self._write_archive(path, weights, fingerprint)

    def _extract(self, weights: Path) -> None:
        with zipfile.ZipFile(self.path) as archive:
            if WEIGHTS not in archive.namelist():
                raise ModelError(f"{self.path}: has no {WEIGHTS}; load it in Keras, and save it")
            with archive.open(WEIGHTS) as old, weights.open("wb") as new:
                shutil.copyfileobj(old, new, 1 << 24)

    def _replace(self, weights: Path, saved: Path) -> None:
        """Put the values that were saved into the datasets of the same names."""
        import h5py

        with h5py.File(weights, "r+") as old, h5py.File(saved, "r") as new:
            before, after = datasets_of(old, self.path), datasets_of(new, self.path)
            strange = [n for n, d in after.items() if n not in before or before[n].shape != d.shape]
            if strange:
                raise ModelError(
                    f"{self.path}: {strange[0]:.80} is not in it as this Keras saves it; load it "
                    "in Keras, and save it once"
                )
            for name, held in after.items():
                values = read(held)
                if not same_bits(read(before[name]), values):
                    before[name][...] = values

    def _write_archive(self, path: Path, weights: Path, fingerprint: str) -> None:
        with (
            atomically(path) as file,
            zipfile.ZipFile(self.path) as old,
            zipfile.ZipFile(file, "w", allowZip64=True) as new,
        ):
            for member in old.infolist():
                info = zipfile.ZipInfo(member.filename, member.date_time)
                info.compress_type, info.external_attr = member.compress_type, member.external_attr
                is_weights = member.filename == WEIGHTS
                with (
                    new.open(info, "w", force_zip64=True) as target,
                    weights.open("rb") if is_weights else old.open(member) as source,
                ):
                    shutil.copyfileobj(source, target, 1 << 24)
            new.comment = f"secateur_policy {fingerprint}".encode()  # as in an .npz file


def _named(variables: Any) -> Iterator[tuple[int, tuple[Any, str]]]:
    """Yield each variable by its identity, with a name that no other has."""
    taken: set[str] = set()
    for variable in variables:
        name = variable.path
        while name in taken:
            name += "'"
        taken.add(name)
        yield id(variable), (variable, name)


def _stored(weight: KerasWeight, names: Mapping[int, tuple[Any, str]]) -> KnownWeight:
    spec = weight.spec
    name = names[id(weight.variable)][1]
    fields = (spec.name, name, spec.kind, spec.layer, weight.layout)
    return KnownWeight(*fields, aliases=spec.aliases, alias_layers=spec.alias_layers)
