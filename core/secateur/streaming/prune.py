"""Prune a checkpoint into a copy: one tensor, or a piece of one, in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from secateur.adapter import Checkpoint, Pieces, ReadElements
from secateur.arrays import sizes
from secateur.arrays.chunks import pieces
from secateur.hooks.at_work import notify
from secateur.hooks.events import MasksUpdated
from secateur.layout import Array
from secateur.masks.one_by_one import MakeMask, mask_maker
from secateur.run.checks.live import LiveModel
from secateur.run.checks.sparse_start import Excess, sparser, zeros_note
from secateur.run.plan import Plan
from secateur.run.report import Report, make_report
from secateur.streaming.ahead import Ahead
from secateur.streaming.weights import StoredWeight
from secateur.streaming.zeroing import Count, set_zeros
from secateur.workers import SINGLE, Workers

MOST_WAITING = 2
"""How many pieces wait to be written at most."""

Advance = Callable[[int], object]
Before = Callable[[Mapping[str, Array]], object]
Write = Callable[[Mapping[str, Pieces]], None]
"""Writes the copy, given the pieces of each changed tensor."""


class FileMasks(Mapping[str, Array]):
    """The masks of the weights that this process prunes, each made when it is asked for."""

    def __init__(self, weights: Mapping[str, StoredWeight], makers: Mapping[str, MakeMask]) -> None:
        self._weights, self._makers = weights, makers

    def __getitem__(self, name: str) -> Array:
        return self.mask(name)

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def mask(self, name: str, tensor: Array | None = None) -> Array:
        """Return the mask of a weight.

        Args:
            name: Its name.
            tensor: The tensor that holds it, flat, where that is in memory.

        """
        mask = self._makers[name](name, self._weights[name].values(tensor))
        mask.flags.writeable = False
        return mask


def prepare(
    planned: Plan, weights: Mapping[str, StoredWeight], workers: Workers = SINGLE
) -> FileMasks:
    """Find what the masks follow from: of rules whose weights compete, the threshold.

    Args:
        planned: The plan.
        weights: The weights of the checkpoint by name.
        workers: The processes among which the weights are divided.

    Raises:
        WeightError: A weight holds a NaN or infinity.
        PluginError: A part of the policy failed.

    """
    makers: dict[str, MakeMask] = {}
    for rule in planned.rule_weights:
        members = [weights[spec.name] for spec in rule.specs]
        make = mask_maker(rule.method, members, rule.method.final, workers)
        makers |= {weight.spec.name: make for weight in members if weight.here}
    return FileMasks(weights, makers)


@dataclass(frozen=True)
class Masked:
    """A tensor whose masks are known.

    Attributes:
        read: Reads its elements.
        masks: Each of its weights that is pruned, and the mask as it lies in the file, as bits.

    """

    read: ReadElements
    masks: Sequence[tuple[StoredWeight, Array]]


def unpacked(bits: Array, start: int, stop: int) -> Array:
    """Return a part of a mask that was packed into bits.

    >>> unpacked(np.packbits(np.arange(20) % 3 == 0), 9, 13).tolist()
    [True, False, False, True]
    """
    skipped = start % 8
    part = bits[start // 8 : -(-stop // 8)]
    return np.unpackbits(part, count=skipped + stop - start)[skipped:].view(bool)


@dataclass
class Pruning:
    """A checkpoint on its way into a pruned copy.

    Attributes:
        source: The checkpoint.
        planned: The plan.
        weights: Its weights by name.
        masks: The masks of those that this process prunes.
        advance: Called with the number of bytes of each piece, once it was written.
        before: Called with the masks when all is written but the name of the copy.
        counts: What was written of each weight.

    """

    source: Checkpoint
    planned: Plan
    weights: Mapping[str, StoredWeight]
    masks: FileMasks
    advance: Advance = lambda written: None
    before: Before = lambda masks: None
    counts: dict[str, Count] = field(default_factory=dict)

    def run(self, write: Write) -> None:
        """Write the copy; observers see the masks when all of it but its name is written.

        Args:
            write: Writes it.

        """
        tensors: dict[str, list[StoredWeight]] = {}
        self.counts = {name: Count() for name in self.masks}
        for name in self.masks:
            weight = self.weights[name]
            tensors.setdefault(weight.tensor, []).append(weight)
        names = [name for name in self.source.tensors if name in tensors]
        if not names:
            self._before()
        with (
            Ahead(names, lambda name: self._masks(name, tensors[name]), 1) as masks,
            Ahead(names, lambda name: self._pieces(name, masks), MOST_WAITING, masks) as ahead,
        ):
            write({name: self._taking(ahead, name, name == names[-1]) for name in names})

    def report(self, kept: Mapping[str, int], zeros: Mapping[str, int]) -> Report:
        """Return the report of what was written.

        Args:
            kept: How many values of each weight are not pruned.
            zeros: How many of them are zero.

        """
        notes = list(_notes_on_zeros(self.weights, kept, zeros))
        return make_report(self.planned, 0, self.masks, kept, LiveModel(), notes, None)

    def _taking(self, ahead: Ahead[Array], name: str, is_last: bool) -> Pieces:
        def take() -> Iterator[Array]:
            for piece in ahead.take(name):
                yield piece
                self.advance(piece.nbytes)
            if is_last:
                self._before()

        return take

    def _masks(self, name: str, weights: Sequence[StoredWeight]) -> Iterator[Masked]:
        """Yield a tensor with the masks of its weights."""
        read, size = self.source.elements(name), self.source.tensors[name].size
        whole = read(0, size) if size * weights[0].itemsize <= sizes.WHOLE else None
        masks = [w.stored(self.masks.mask(w.spec.name, whole)) for w in weights]
        yield Masked(read, [(w, np.packbits(mask)) for w, mask in zip(weights, masks, strict=True)])

    def _pieces(self, name: str, masked: Ahead[Masked]) -> Iterator[Array]:
        """Yield the pieces of a tensor, with zeros where the masks of its weights prune."""
        for tensor in masked.take(name):
            size, itemsize = self.source.tensors[name].size, tensor.masks[0][0].itemsize
            for start, stop in pieces(0, size, sizes.PIECE // itemsize):
                piece = tensor.read(start, stop)
                if not piece.flags.writeable:
                    piece = piece.copy()
                for weight, bits in tensor.masks:
                    first, last = max(start, weight.start), min(stop, weight.stop)
                    if first < last:
                        set_zeros(
                            piece[first - start : last - start],
                            unpacked(bits, first - weight.start, last - weight.start),
                            self.counts[weight.spec.name],
                        )
                yield piece

    def _before(self) -> None:
        """Tell observers, which may still refuse: the copy has no name yet."""
        size = sum(weight.spec.size for weight in self.weights.values())
        zeros = sum(self.weights[name].spec.size - each.kept for name, each in self.counts.items())
        targets = {
            spec.name: rule.method.final
            for rule in self.planned.rule_weights
            for spec in rule.specs
        }
        kept = {name: each.kept for name, each in self.counts.items()}
        for rule in self.planned.rule_weights:
            targets |= rule.held(kept)
        notify(
            MasksUpdated(
                0,
                self.masks,
                {name: targets[name] for name in self.masks},
                self.planned.policy.fingerprint,
                self.planned.observed(self.weights.values()),
                sparsity=zeros / size if size else 0.0,
            )
        )
        self.before(self.masks)


def prune_file(
    source: Checkpoint,
    planned: Plan,
    weights: Mapping[str, StoredWeight],
    output: Path,
    advance: Advance = lambda written: None,
    before: Before = lambda masks: None,
) -> Report:
    """Write a pruned copy of a checkpoint, at the final sparsity of a plan.

    Args:
        source: The checkpoint.
        planned: The plan for it.
        weights: Its weights by name.
        output: The new file, or folder.
        advance: Called with the number of bytes that were written of the changed tensors.
        before: Called with the masks when all is written but the name of the copy.

    Raises:
        WeightError: A weight holds a NaN or infinity.
        PluginError: A part of the policy or an observer failed.
        ModelError: The checkpoint is damaged, or its format cannot be written.
        OSError: The file cannot be written.  In each case there is no new file.

    """
    pruning = Pruning(source, planned, weights, prepare(planned, weights), advance, before)
    fingerprint = planned.policy.fingerprint
    pruning.run(lambda changed: source.rewrite(output, changed, fingerprint))
    counts = pruning.counts
    return pruning.report(
        {name: each.kept for name, each in counts.items()},
        {name: each.zeros for name, each in counts.items()},
    )


def _notes_on_zeros(
    weights: Mapping[str, StoredWeight], kept: Mapping[str, int], zeros: Mapping[str, int]
) -> Iterator[str]:
    """Yield a note if weights hold many more zeros than their masks prune."""
    found = [
        Excess(name, zeros[name] / size, 1 - kept[name] / size)
        for name in kept
        if (size := weights[name].spec.size)
    ]
    if more := sparser(found):
        yield zeros_note(more)
