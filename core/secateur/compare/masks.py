"""Which mask bits differ between the files of two models, whatever framework each is in.

A file holds weights, not masks; what is zero counts as pruned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from secateur.adapter import Binding, Checkpoint, Weight, WeightSpec
from secateur.compare.transfer import renamed
from secateur.layout import Array, conv_transpose_iohw, rnn_gates_in

_PROJECTIONS = ("query", "key", "value")


@dataclass(frozen=True)
class MaskChange:
    """The difference between the masks of one weight in two models.

    Attributes:
        name: Its name in the first model; None where that has no such weight of its shape.
        other: Its name in the second; None likewise.
        size: The number of its elements.
        differing: How many of them are zero in one of the models only; None without a twin.

    """

    name: str | None
    other: str | None
    size: int
    differing: int | None


@dataclass(frozen=True)
class ModelWeights:
    """The weights of one model.

    Attributes:
        binding: The model, bound.
        stored: The checkpoint that it was read from; None where the file knows its layers.

    """

    binding: Binding
    stored: Checkpoint | None = None

    def find(self, name: str, like: WeightSpec) -> Array | None:
        """Return a weight in canonical layout, or None.

        Args:
            name: The name of the weight, or of a tensor of the checkpoint.
            like: Its twin; a tensor whose kind the file does not know is read as its kind.

        """
        for weight in self.binding.weights:
            is_known = self.stored is None or weight.spec.kind == like.kind
            if is_known and name in (weight.spec.name, *weight.spec.aliases):
                return weight.read()
        for tensor in (name, f"{name.rpartition(':')[0]}.weight"):
            if self.stored is not None and tensor in self.stored.tensors:
                return _canonical(self.stored.read(tensor), like)
        return None


def mask_changes(
    first: ModelWeights, second: ModelWeights, names: Mapping[str, str] | None = None
) -> list[MaskChange]:
    """Compare every weight of two models with its twin.

    Twins have one name; weights that are left over are twins where both models have as many of
    their kind, role and shape, and then in the order of the models.

    Args:
        first: A model.
        second: Its twin.
        names: The names of weights or layers of the first model, and those of the second,
            where they differ.

    """
    if first.stored is not None and second.stored is None:
        back = {other: name for name, other in (names or {}).items()}
        return [_turned(change) for change in mask_changes(second, first, back)]
    changes: list[MaskChange] = []
    left: list[Weight] = []
    taken: set[str] = set()
    for weight in first.binding.weights:
        wanted = renamed(weight.spec.name, names or {})
        found = second.find(wanted, weight.spec)
        if found is None or found.shape != weight.spec.shape:
            left.append(weight)
            changes.append(MaskChange(weight.spec.name, None, weight.spec.size, None))
        else:
            taken.add(wanted)
            changes.append(_change(weight, wanted, found))
    unnamed = [w for w in second.binding.weights if not taken & {w.spec.name, *w.spec.aliases}]
    for weight, twin in _alike(left, unnamed):
        number = next(n for n, change in enumerate(changes) if change.name == weight.spec.name)
        changes[number] = _change(weight, twin.spec.name, twin.read())
    paired = {change.other for change in changes}
    known = {name for w in second.binding.weights for name in (w.spec.name, *w.spec.aliases)}
    in_tensors = {_layer(name) for name in taken - known}  # of kinds that the file does not know
    alone = [
        weight
        for weight in unnamed
        if weight.spec.name not in paired and _layer(weight.spec.name) not in in_tensors
    ]
    return [*changes, *(_change_of_one(weight, first) for weight in alone)]


def _layer(name: str) -> str:
    """Return the layer of a weight, or of a tensor."""
    return name.rpartition(":")[0] or name.rpartition(".")[0]


def _change_of_one(weight: Weight, first: ModelWeights) -> MaskChange:
    """Return the change of a weight of the second model alone; the first may tie it to another."""
    spec = weight.spec
    for tied in first.binding.weights:
        if spec.name in tied.spec.aliases and tied.spec.shape == spec.shape:
            return replace(_change(tied, spec.name, weight.read()), name=spec.name)
    return MaskChange(None, spec.name, spec.size, None)


def _change(weight: Weight, other: str, found: Array) -> MaskChange:
    differing = int(np.count_nonzero((weight.read() != 0) != (found != 0)))
    return MaskChange(weight.spec.name, other, weight.spec.size, differing)


def _alike(first: Sequence[Weight], second: Sequence[Weight]) -> Iterator[tuple[Weight, Weight]]:
    """Yield pairs of weights of one kind, role and shape, where both have as many of them."""
    forms: dict[object, tuple[list[Weight], list[Weight]]] = {}
    for number, weights in enumerate((first, second)):
        for weight in weights:
            form = weight.spec.kind, weight.spec.role, weight.spec.shape
            forms.setdefault(form, ([], []))[number].append(weight)
    for mine, others in forms.values():
        if len(mine) == len(others):
            yield from zip(mine, others, strict=True)


def _turned(change: MaskChange) -> MaskChange:
    return MaskChange(change.other, change.name, change.size, change.differing)


def _canonical(stored: Array, like: WeightSpec) -> Array:
    """Return a tensor of a PyTorch checkpoint, which names no kinds, read as its twin's kind."""
    if stored.ndim < 2 or not like.shape[0]:
        return stored
    gates, rows = like.shape[0], len(stored)
    if like.kind == "rnn" and stored.ndim == 2 and rows % gates == 0:
        return rnn_gates_in(stored.shape, gates).to_canonical(stored)
    if like.kind == "conv_transpose" and stored.ndim > 2 and like.shape[1]:
        groups = stored.shape[0] // like.shape[1] or 1
        if stored.shape[0] % groups == 0:
            return conv_transpose_iohw(stored.shape, groups).to_canonical(stored)
    if like.role in _PROJECTIONS and rows == 3 * like.shape[0]:
        first = _PROJECTIONS.index(like.role) * like.shape[0]
        return stored[first : first + like.shape[0]]
    return stored
