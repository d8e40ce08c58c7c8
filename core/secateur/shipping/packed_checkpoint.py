"""A packed file as a checkpoint, so that the command line reads it as any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from secateur.adapter import Checkpoint, KnownWeight, Skipped, Tensor
from secateur.checkpoints.infer_kinds import parameters_of, weight_name
from secateur.errors import ModelError, shown
from secateur.kinds import kind_names
from secateur.layout import Array
from secateur.packing.manifest import Entry
from secateur.packing.order import state_parts
from secateur.packing.reader import PackedFile


class PackedCheckpoint(Checkpoint):
    """A packed file; its tensors have the names and layouts of where they were taken from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.packed = PackedFile(path)
        source = self.packed.source
        self.adapter = "numpy" if source == "file" else source
        entries = self.packed.entries.values()
        self.tensors = {
            entry.name: Tensor(entry.name, entry.numpy_dtype.name, entry.shape) for entry in entries
        }
        try:
            self.weights = [weight for entry in entries for weight in _weights(entry)]
        except (ValueError, IndexError) as error:
            raise ModelError(f"{path}: its parts do not make it up: {error}") from error
        self.skipped = [
            Skipped(entry.name, tensor.why_dense, parameters_of(tensor))
            for entry, tensor in zip(entries, self.tensors.values(), strict=True)
            if not entry.parts
        ]

    def read(self, name: str) -> Array:
        return self.packed.read(name)

    def write(self, path: Path, changed: Mapping[str, Array], fingerprint: str) -> None:
        raise ModelError(f"{path}: a packed file is not pruned; unpack it first: secateur unpack")


def _weights(entry: Entry) -> Iterator[KnownWeight]:
    """Yield the weights that a tensor holds, as they were packed; of other kinds, by their rank."""
    for part, state in zip(entry.parts, state_parts(entry.parts), strict=True):
        shape = entry.shape
        if state.rows is not None:
            shape = (state.rows[1] - state.rows[0], *shape[1:])
        stored = np.broadcast_to(np.empty((), np.bool_), shape)
        if state.layout.to_canonical(stored).shape != part.shape:
            raise ValueError(f"{shown(part.weight)} has another shape")
        kind = part.kind if part.kind in kind_names() else ""
        layer = part.weight.rpartition(":")[0] or part.weight
        aliases = tuple(weight_name(name, kind) for name in entry.aliases)
        yield KnownWeight(
            part.weight, entry.name, kind, layer, state.layout, state.rows, aliases=aliases
        )
