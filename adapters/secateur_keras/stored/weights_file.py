"""A .weights.h5 file: variables without layers, read by h5py alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur import atomically
from secateur.adapter import FLOATS, Checkpoint, KnownWeight, Skipped, Tensor
from secateur.errors import ModelError
from secateur.layout import Array, Layout
from secateur_keras.stored import classes
from secateur_keras.stored.datasets import datasets_of, dtype_of, read

_NOTE = "secateur_policy"
"""The attribute of the file that notes the fingerprint of a policy."""
_ASIDE = ("optimizer/", "secateur_state/")
_WHOLE = ("model_config", "keras_version")
"""What the old HDF5 files of whole models have at their root."""
_DIRECTIONS = ("forward_layer", "backward_layer")


@dataclass(frozen=True)
class _Layer:
    """A layer of the file.

    Attributes:
        name: Its path in a plan.
        kind: Its class in snake case; None where nothing tells it.
        part: The last part of its path in the file.

    """

    name: str
    kind: str | None
    part: str


class WeightsFile(Checkpoint):
    """A .weights.h5 file; the classes of its layers are known from its paths.

    Groups of HDF5 are sorted by name, so that the order is not that of the model.
    """

    adapter = "keras"
    ordered = False

    def __init__(self, path: Path) -> None:
        import h5py

        self.path = path
        try:
            with h5py.File(path, "r") as file:
                if any(key in file.attrs for key in _WHOLE) or "model_weights" in file:
                    raise ModelError(
                        f"{path}: a whole model in the old HDF5 format; load it in Keras, and save "
                        "it as .keras"
                    )
                held = datasets_of(file, path)
                noted = file.attrs.get(_NOTE)
                names = {name: _group_name(file, name) for name in _groups(held)}
                tensors = {n: Tensor(n, dtype_of(d), tuple(d.shape)) for n, d in held.items()}
        except OSError as error:
            raise ModelError(f"{path}: not a whole HDF5 file: {error}") from error
        aside = [tensor for name, tensor in tensors.items() if name.startswith(_ASIDE)]
        self.tensors = {n: t for n, t in tensors.items() if not n.startswith(_ASIDE)}
        self.noted_policy = noted if isinstance(noted, str) else None
        self._layers = {group: _layer(group, names) for group in names}
        if aside:
            self.notes = [f"{len(aside)} tensors are no weights, but the optimizer's or others"]
        self.skipped = []
        self.weights = list(self._find())

    def read(self, name: str) -> Array:
        import h5py

        try:
            with h5py.File(self.path, "r") as file:
                return read(file[name])
        except (OSError, TypeError, ValueError) as error:
            raise ModelError(f"{self.path}: {name:.80} cannot be read: {error}") from error

    def write(self, path: Path, changed: Mapping[str, Array], fingerprint: str) -> None:
        """Write a copy of the file, byte by byte, then the changed values and the policy in it."""
        import h5py

        with atomically(path) as file:
            with self.path.open("rb") as old:
                shutil.copyfileobj(old, file, 1 << 24)
            file.seek(0)
            with h5py.File(file, "r+") as copy:
                for name in self.tensors:
                    if name in changed:
                        copy[name][...] = changed[name]
                copy.attrs[_NOTE] = fingerprint

    def layout_as(self, name: str, kind: str) -> Layout:
        return classes.layout_as(kind, self.tensors[name].shape)

    def _find(self) -> Iterator[KnownWeight]:
        taken: set[str] = set()
        skipped: list[Skipped] = []
        for name, tensor in self.tensors.items():
            group, _, number = name.rpartition("/vars/")
            layer = self._layers[group]
            found = _variable(layer, number, tensor)
            if isinstance(found, str):
                skipped.append(Skipped(name, found, tensor.size))
                continue
            inner, _, role = found.role.rpartition(":")
            path = ".".join(filter(None, (layer.name, inner))) or "model"
            weight = f"{path}:{role}"
            if weight in taken:  # two layers of one name: the path in the file tells them apart
                path = group.replace("/", ".")
                weight = f"{path}:{role}"
            taken.add(weight)
            reason = f"{found.kind}, by the class of the layer in the file"
            layout = found.layout(tensor.shape)
            yield KnownWeight(weight, name, found.kind, path, layout, reason=reason)
        self.skipped = skipped


def _groups(held: Mapping[str, Any]) -> dict[str, None]:
    """Return the paths of all layers of some datasets, and of those that they belong to."""
    found: dict[str, None] = {}
    for name in held:
        parts = name.rpartition("/vars/")[0].split("/")
        found |= {"/".join(parts[:end]): None for end in range(len(parts) + 1)}
    return found


def _group_name(file: Any, group: str) -> str:
    """Return the name that a layer has in the model; nothing for a list of layers."""
    held = file.get(f"{group}/vars".lstrip("/"), getlink=False)
    return str(held.attrs.get("name", "")) if held is not None else ""


def _layer(group: str, names: Mapping[str, str]) -> _Layer:
    """Return what a path in the file tells of a layer."""
    path: list[str] = []
    kind: str | None = None
    parts = group.split("/")
    for end, part in enumerate(parts, 1):
        name = names.get("/".join(parts[:end]), "")
        if part in _DIRECTIONS:
            path.append(part.removesuffix("_layer"))
            kind = classes.class_of("", name.partition("_")[2], "")  # "forward_lstm"
            continue
        kind = classes.class_of(part, name, kind or "")
        if part != "cell" and part not in classes.PROJECTIONS and name:
            path.append(name)
    return _Layer(".".join(path), kind, parts[-1])


def _variable(layer: _Layer, number: str, tensor: Tensor) -> classes.Variable | str:
    """Return what a variable of a layer is, or why it is left dense."""
    described = f"{tensor.dtype} of rank {len(tensor.shape)}"
    if tensor.dtype not in FLOATS or len(tensor.shape) < 2:
        return f"{described}: not a kernel"
    if number == "0" and (found := classes.projection(layer.part, tensor.shape)):
        return found
    if layer.kind is None or layer.kind not in classes.CLASSES:
        return f"{described}: of a layer whose class the file does not tell; see --kind"
    known = classes.CLASSES[layer.kind]
    index = int(number) if number.isdecimal() else len(known)
    if index >= len(known) or len(tensor.shape) not in known[index].ranks:
        return f"{described}: no kernel of {layer.kind}; see --kind"
    return known[index]
