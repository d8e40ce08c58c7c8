"""Which mask bits differ between the files of two models, in whichever framework each is.

A file holds weights, not masks; what is zero counts as pruned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from secateur.adapter import Binding, Checkpoint, WeightSpec
from secateur.compare.transfer import renamed
from secateur.layout import Array, conv_transpose_iohw, rnn_gates_in


@dataclass(frozen=True)
class MaskChange:
    """One weight of two models: its elements, and how many are zero in one of them only.

    `other` is its name in the second model, and `differing` is None, where there is no such
    weight or its shape is another.
    """

    name: str
    other: str | None
    size: int
    differing: int | None


@dataclass(frozen=True)
class ModelWeights:
    """The weights of one model: bound, and as stored where the file tells no kinds."""

    binding: Binding
    stored: Checkpoint | None = None

    def find(self, name: str, like: WeightSpec) -> Array | None:
        """Return a weight in canonical layout, stored ones being read as the twin's kind."""
        for weight in self.binding.weights:
            if name in (weight.spec.name, *weight.spec.aliases) and self.stored is None:
                return weight.read()
        for tensor in (name, f"{name.rpartition(':')[0]}.weight"):
            if self.stored is not None and tensor in self.stored.tensors:
                return _canonical(self.stored.read(tensor), like)
        return None


def mask_changes(
    first: ModelWeights, second: ModelWeights, names: Mapping[str, str] | None = None
) -> list[MaskChange]:
    """Compare every weight of the first model with its twin in the second.

    names: weight or layer names of the first to those of the second, where they differ.
    """
    if first.stored is not None and second.stored is None:
        back = {other: name for name, other in (names or {}).items()}
        return [_turned(change) for change in mask_changes(second, first, back)]
    changes = []
    for weight in first.binding.weights:
        wanted = renamed(weight.spec.name, names or {})
        found = second.find(wanted, weight.spec)
        if found is None or found.shape != weight.spec.shape:
            changes.append(MaskChange(weight.spec.name, None, weight.spec.size, None))
            continue
        differing = int(np.count_nonzero((weight.read() != 0) != (found != 0)))
        changes.append(MaskChange(weight.spec.name, wanted, weight.spec.size, differing))
    return changes


def _turned(change: MaskChange) -> MaskChange:
    if change.other is None:
        return change
    return MaskChange(change.other, change.name, change.size, change.differing)


def _canonical(stored: Array, like: WeightSpec) -> Array:
    """Read a tensor of a PyTorch checkpoint, which names no kinds, as its twin's kind."""
    gates, rows = like.shape[0], len(stored)
    if like.kind == "rnn" and stored.ndim == 2 and rows % gates == 0:
        return rnn_gates_in(stored.shape, gates).to_canonical(stored)
    if like.kind == "conv_transpose" and stored.ndim > 2:
        groups = stored.shape[0] // like.shape[1] or 1
        return conv_transpose_iohw(stored.shape, groups).to_canonical(stored)
    packed = ("query", "key", "value")
    if like.role in packed and rows == 3 * like.shape[0]:
        place = packed.index(like.role) * like.shape[0]
        return stored[place : place + like.shape[0]]
    return stored
