"""Which tensor of a packed file fills which tensor of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from secateur.adapter import StatePart, StateTensor
from secateur.errors import ModelError, listed
from secateur.layout import Array
from secateur.packing.manifest import Entry
from secateur.packing.reader import PackedFile
from secateur.shipping.names import are_renumbered, counts_batches, synonyms
from secateur.shipping.sources import FILE

MOST_NAMES = 8
"""How many names a message lists."""


@dataclass(frozen=True)
class Match:
    """A tensor of a model, and what fills it.

    Attributes:
        target: The tensor of the model.
        entries: What the file holds for it: one tensor, or those that hold its weights.
        by_weights: Whether it is put together from weights in canonical layout.

    """

    target: StateTensor
    entries: tuple[Entry, ...]
    by_weights: bool

    def read(self, packed: PackedFile) -> Array:
        """Return the values, in the layout of the model.

        Raises:
            ModelError: The file is damaged.

        """
        if not self.by_weights:
            return packed.read(self.entries[0].name)
        weights: dict[str, Array] = {}
        for name in dict.fromkeys(entry.name for entry in self.entries):
            weights |= packed.read_weights(name)
        found = np.empty(self.target.shape, self.entries[0].numpy_dtype)
        for part in self.target.parts:
            # a tensor of rank 2 or more has rows, all of them where a part names none
            rows = slice(None) if part.rows is None else slice(*part.rows)
            found[rows] = part.layout.from_canonical(weights[part.weight])
        return found


@dataclass
class Matching:
    """Finds what a file holds for each tensor of a model.

    Attributes:
        packed: The file.
        adapter: The adapter of the model.

    """

    packed: PackedFile
    adapter: str
    _by_name: Mapping[str, Entry] = field(init=False)
    _by_weight: Mapping[str, tuple[Entry, tuple[int, ...]]] = field(init=False)

    def __post_init__(self) -> None:
        entries = self.packed.entries.values()
        self._by_name = {_plain(n): each for each in entries for n in (each.name, *each.aliases)}
        self._by_weight = {
            part.weight: (each, part.shape) for each in entries for part in each.parts
        }

    def all_of(self, targets: Sequence[StateTensor]) -> list[Match]:
        """Return what fills each tensor of a model.

        The counter of batches that PyTorch keeps is left alone where the file has none.

        Args:
            targets: The tensors of the model.

        Raises:
            ModelError: A tensor has nothing in the file, something else, or the file has more.

        """
        if renamed := self._renumbered(targets):
            return renamed
        ignored = self._counters_of_one_side(targets)
        found = [(target, self._match(target)) for target in targets if target.name not in ignored]
        matches = [match for _, match in found if match is not None]
        problems = [self._misfit(target) for target, match in found if match is None]
        problems += [
            f"{match.target.name:.80} is {match.target.dtype} in the model and {entry.dtype} in "
            "the file"
            for match in matches
            for entry in match.entries
            if match.target.dtype not in (entry.dtype, entry.numpy_dtype.name)
        ]
        used = {entry.name for match in matches for entry in match.entries}
        met = used | ignored | {e.name for target, _ in found for e in self._named(target)}
        problems += [
            f"{name:.80} is in the file only" for name in self.packed.entries if name not in met
        ]
        if problems:
            raise ModelError(
                f"{self.packed.path} does not fit the model, and nothing was changed: "
                f"{listed(problems, MOST_NAMES)}"
            )
        return matches

    def _renumbered(self, targets: Sequence[StateTensor]) -> list[Match]:
        """Return the tensors in their order where only the numbers of layers differ, else none."""
        entries = list(self.packed.entries.values())
        names = [target.name for target in targets]
        same_framework = self.packed.source == self.adapter
        if not same_framework or not are_renumbered([each.name for each in entries], names):
            return []
        matches = [
            Match(target, (entry,), by_weights=False)
            for target, entry in zip(targets, entries, strict=True)
            if target.shape == entry.shape and target.dtype == entry.dtype
        ]
        return matches if len(matches) == len(targets) else []

    def _match(self, target: StateTensor) -> Match | None:
        named = [entry for entry in self._named(target) if entry.shape == target.shape]
        held = [self._by_weight.get(part.weight) for part in target.parts]
        shapes = [_canonical_shape(part, target.shape) for part in target.parts]
        fitting = [each[0] for each, s in zip(held, shapes, strict=True) if each and each[1] == s]
        by_weights = bool(shapes) and len(fitting) == len(shapes)
        # equal names and shapes mean equal layouts in one framework, and in a file of its own
        if named and (not by_weights or self.packed.source in (FILE, self.adapter)):
            return Match(target, (named[0],), by_weights=False)
        return Match(target, tuple(fitting), by_weights=True) if by_weights else None

    def _named(self, target: StateTensor) -> list[Entry]:
        names = (target.name, *target.aliases)
        if found := [self._by_name[name] for name in names if name in self._by_name]:
            return found
        if target.parts:  # weights have one name in every framework
            return []
        others = (self._by_name.get(other) for name in names for other in synonyms(name))
        return [entry for entry in others if entry is not None and not entry.parts]

    def _counters_of_one_side(self, targets: Sequence[StateTensor]) -> set[str]:
        """Return the counters of batches, where the framework of the other side has none."""
        in_model = {target.name for target in targets if counts_batches(target.name)}
        in_file = {name for name in self.packed.entries if counts_batches(name)}
        return set() if in_model and in_file else in_model | in_file

    def _misfit(self, target: StateTensor) -> str:
        held = [self._by_weight[p.weight][0] for p in target.parts if p.weight in self._by_weight]
        for entry in (*self._named(target), *held):
            return f"{target.name:.80} is {target.shape} in the model and {entry.shape} in the file"
        return f"{target.name:.80} is in the model only"


def _plain(name: str) -> str:
    """Return a name without the level that `torch.compile` puts around a module."""
    return name.replace("_orig_mod.", "")


def _canonical_shape(part: StatePart, shape: tuple[int, ...]) -> tuple[int, ...]:
    rows = slice(None) if part.rows is None else slice(*part.rows)
    empty = np.broadcast_to(np.empty((), np.bool_), shape)[rows]
    return part.layout.to_canonical(empty).shape
