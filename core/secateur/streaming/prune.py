"""Prune a checkpoint into a copy: one tensor, or a piece of one, in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from secateur.adapter import Checkpoint, Pieces, ReadElements
from secateur.arrays import sizes
from secateur.arrays.stored import StoredArray
from secateur.hooks.at_work import notify
from secateur.hooks.events import MasksUpdated
from secateur.layout import Array
from secateur.masks.one_by_one import Masks, Parts, masks_of
from secateur.masks.zeros import ZerosFound, zeros_in
from secateur.run.checks import kept_zeros
from secateur.run.checks.live import LiveModel
from secateur.run.checks.sparse_start import Excess, sparser, zeros_note
from secateur.run.plan import Plan
from secateur.run.planned import RuleWeights
from secateur.run.report import Report, make_report
from secateur.streaming.tensor import Memory, PrunedTensor
from secateur.streaming.weights import StoredWeight
from secateur.streaming.zeroing import Count
from secateur.workers import SINGLE, Workers

Advance = Callable[[int], object]
Before = Callable[[Mapping[str, Array]], object]
Write = Callable[[Mapping[str, Pieces]], None]
"""Writes the copy, given the pieces of each changed tensor."""


class FileMasks(Mapping[str, Array]):
    """The masks of the weights that this process prunes, each made when it is asked for.

    Args:
        weights: The weights by name.
        rules: What makes the mask of each.
        remarks: What is to be said of the zeros that are kept.

    """

    def __init__(
        self,
        weights: Mapping[str, StoredWeight],
        rules: Mapping[str, Masks],
        remarks: Sequence[str] = (),
    ) -> None:
        self._weights, self._rules, self.remarks = weights, rules, remarks

    def __getitem__(self, name: str) -> Array:
        return self.mask(name)

    def __contains__(self, name: object) -> bool:
        return name in self._rules

    def __iter__(self) -> Iterator[str]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def mask(self, name: str, read: ReadElements | None = None) -> Array:
        """Return the mask of a weight.

        Args:
            name: Its name.
            read: Reads the tensor that holds it; None opens it.

        """
        weight = self._weights[name]
        read = read or weight.opened()
        mask = self._rules[name].whole(name, weight.near(read))
        mask.flags.writeable = False
        return mask

    def parts(self, name: str, read: ReadElements) -> Parts:
        """Return the mask of a weight in parts, as the weight lies in the file.

        Args:
            name: Its name.
            read: Reads the tensor that holds it.

        """
        weight = self._weights[name]
        values = weight.values(read)
        if isinstance(values, StoredArray):
            parts = self._rules[name].parts(name, values)
            if parts is not None and parts.together * weight.itemsize <= sizes.WHOLE:
                return parts
        mask = weight.stored(self.mask(name, read))
        return Parts(lambda start, values: mask[start : start + len(values)])


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
        ModelError: Zeros that are to be kept do not lie as their pattern says.

    """
    remarks = kept_zeros.check(planned, lambda rule, spec: _zeros(rule, weights[spec.name])).all
    rules: dict[str, Masks] = {}
    for rule in planned.rule_weights:
        members = [weights[spec.name] for spec in rule.specs]
        masks = masks_of(rule.method, members, rule.method.final, workers)
        rules |= {weight.spec.name: masks for weight in members if weight.here}
    return FileMasks(weights, rules, remarks)


def _zeros(rule: RuleWeights, weight: StoredWeight) -> ZerosFound:
    return zeros_in(rule.method, weight.spec, weight.values())


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
        memory = Memory()
        write({name: self._changed(name, tensors[name], memory, names[-1]) for name in names})

    def report(self, kept: Mapping[str, int], zeros: Mapping[str, int]) -> Report:
        """Return the report of what was written.

        Args:
            kept: How many values of each weight are not pruned.
            zeros: How many of them are zero.

        """
        notes = [*_notes_on_zeros(self.weights, kept, zeros), *self.masks.remarks]
        return make_report(self.planned, 0, self.masks, kept, LiveModel(), notes, None)

    def _changed(
        self, name: str, weights: Sequence[StoredWeight], memory: Memory, last: str
    ) -> PrunedTensor:
        """Return what gives the new values of a tensor."""
        size = self.source.tensors[name].size
        counts = {weight.spec.name: self.counts[weight.spec.name] for weight in weights}
        after = self._before if name == last else None
        read = partial(self.source.elements, name)
        return PrunedTensor(
            size, weights, read, self.masks.parts, counts, memory, self.advance, after
        )

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
