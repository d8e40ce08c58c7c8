"""What a run has come to: sparsity by weight, and what the user should know."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from secateur.adapter import StateTensor
from secateur.adapter.native_names import in_our_words, named_natively
from secateur.errors import ModelError, StateError, nearest, shown
from secateur.layout import Array
from secateur.packing.sizes import Sizes, measure
from secateur.recording.recording import Recording
from secateur.recording.snapshot import PresentWeight, snapshot
from secateur.run.checks.live import LiveModel
from secateur.run.plan import Plan
from secateur.run.saved.about import versions
from secateur.tables import Column, Paragraph, Printed, Table, View, format_sparsity, stay_line


class Masks(Mapping[str, Array]):
    """Masks by weight name; a tied weight answers to all its names, a mask to native ones too.

    Arrays are bool, canonical, True = kept, read-only.

    Args:
        masks: The masks, by weight name.
        aliases: The other names of tied weights, each with the name of the weight.

    Example:
        >>> import numpy as np
        >>> masks = Masks({"fc:kernel": np.array([True, False])}, {"head:kernel": "fc:kernel"})
        >>> masks["head:kernel"] is masks["fc:kernel"] is masks["fc.weight"]
        True

    """

    def __init__(self, masks: Mapping[str, Array], aliases: Mapping[str, str]) -> None:
        self._masks, self._aliases = masks, aliases

    def __getitem__(self, name: str) -> Array:
        """Return the mask of a weight.

        Args:
            name: A name of the weight: as in the plan, or the framework's own, such as
                ``0.weight`` or ``hidden/kernel``.

        Raises:
            KeyError: There is no such mask.

        """
        found = self._find(name)
        if found is None:
            asked = in_our_words(name) if isinstance(name, str) else ""
            raise KeyError(f"no mask for {shown(name)}: {nearest(asked, self._masks)}")
        return self._masks[found]

    def _find(self, name: str) -> str | None:
        known = self._aliases.get(name, name)
        if known in self._masks:
            return known
        if not isinstance(name, str):
            return None
        natively = named_natively(name, [*self._masks, *self._aliases])
        known = self._aliases.get(natively or "", natively or "")
        return known if known in self._masks else None

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)


@dataclass(frozen=True)
class WeightReport:
    """One weight of a report.

    Attributes:
        name: Its name in the plan.
        size: The number of its elements.
        kept: How many of them are not pruned: those that the mask keeps, and those that it
            prunes and that are not zero in the live model.
        target: The final sparsity; None where the scores, or the values, decide it.
        by: What decides it then.

    Example:
        >>> WeightReport("fc", size=4, kept=1, target=0.75).sparsity
        0.75

    """

    name: str
    size: int
    kept: int
    target: float | None
    by: str = "by score"

    @property
    def sparsity(self) -> float:
        """The fraction that is pruned."""
        return 1 - self.kept / self.size if self.size else 0.0


@dataclass(frozen=True, repr=False)
class Report(Printed):
    """What a run has come to, counted from the live model; prints as a table.

    Attributes:
        step: The number of optimizer updates finished.
        weights: Each prunable weight, in the order of the model.
        masks: The current masks.
        notes: What the user should know, such as a schedule that never moved.
        fingerprint: The policy's.
        parameters: The number of all parameters of the model, biases and dense layers included;
            None where the adapter cannot count them.
        left_dense: How many of them lie in layers that the adapter leaves dense.
        plan: The plan that the model is pruned by.

    Example:
        >>> import numpy as np, secateur
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> report = secateur.prune({"fc": np.ones((2, 2)), "bias": np.ones(2)}, half)
        >>> report.sparsity, report.zeros, report.parameters, report.left_dense
        (0.5, 2, 6, 2)

    """

    step: int
    weights: tuple[WeightReport, ...]
    masks: Masks
    notes: tuple[str, ...]
    fingerprint: str
    parameters: int | None = None
    left_dense: int = 0
    plan: Plan | None = field(default=None, compare=False)
    _tensors: Callable[[], Sequence[StateTensor]] | None = field(
        default=None, repr=False, compare=False
    )

    @cached_property
    def sizes(self) -> Sizes:
        """How large the model is: raw, compressed, and the entropy of its masks and values.

        Measured from the live model when it is first asked for, which takes seconds for 10 MB.

        Raises:
            ModelError: The report was copied or pickled, so that it has no model any more.

        """
        if self._tensors is None:
            raise ModelError("this copy of a report has no model: call secateur.sizes(model)")
        return measure(self._tensors())

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_tensors": None}  # a copy of a report is no copy of its model

    @property
    def size(self) -> int:
        """The number of elements of all prunable weights together."""
        return sum(weight.size for weight in self.weights)

    @property
    def kept(self) -> int:
        """How many of them are not pruned."""
        return sum(weight.kept for weight in self.weights)

    @property
    def zeros(self) -> int:
        """How many of them are pruned."""
        return self.size - self.kept

    @property
    def sparsity(self) -> float:
        """The fraction of all prunable weights together that is pruned."""
        return 1 - self.kept / self.size if self.size else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values, for JSON."""
        return {
            "step": self.step,
            "sparsity": self.sparsity,
            "zeros": self.zeros,
            "parameters": self.parameters,
            "left_dense": self.left_dense,
            "fingerprint": self.fingerprint,
            "policy": None if self.plan is None else self.plan.policy.to_dict(),
            "versions": versions("numpy" if self.plan is None else self.plan.adapter),
            "notes": list(self.notes),
            "weights": [
                {
                    "name": weight.name,
                    "size": weight.size,
                    "kept": weight.kept,
                    "sparsity": weight.sparsity,
                    "target": weight.target,
                }
                for weight in self.weights
            ],
        }

    def to_html(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        against: Recording | str | os.PathLike[str] | None = None,
    ) -> str:
        """Return a page about the run: one HTML file that opens from disk, without a network.

        It shows the masks as they are now. To see how they came about, record the run by
        `secateur.Recorder` and call `Recording.to_html`. It needs
        ``pip install "secateur[page]"``.

        Args:
            path: Where to write the page, too.
            against: A recording of another run or its file, to show what differs.

        Returns:
            The page.

        Raises:
            RecordingError: `against` is no recording.
            PluginError: A package that makes pages is missing.
            OSError: The file cannot be written.

        """
        return self._snapshot().to_html(path, against=against, notes=self.notes)

    def _snapshot(self) -> Recording:
        if self.plan is None:
            raise StateError("this report has no plan, so that there is no page of it")
        kept = {weight.name: weight.kept for weight in self.weights}
        methods = {s.name: rule.method for rule in self.plan.rule_weights for s in rule.specs}
        weights = [
            PresentWeight(
                planned.spec,
                planned.rule,
                methods.get(planned.spec.name),
                planned.target,
                self.masks.get(planned.spec.name),
                kept[planned.spec.name],
            )
            for planned in self.plan.weights
        ]
        policy = self.plan.policy.to_dict()
        return snapshot(self.plan.adapter, self.fingerprint, policy, weights, self.step)

    def __repr__(self) -> str:
        stay = stay_line(self.kept, self.size)
        return f"<Report of {len(self.weights)} weights at step {self.step}: {stay}>"

    def view(self, fold: bool = True, notes: Sequence[str] = ()) -> View:
        """Return what is printed of the report.

        Args:
            fold: Whether what repeats is shown once; a report repeats nothing.
            notes: More that the reader should know.

        """
        rows = [
            (w.name, f"{w.size:,}", f"{w.kept:,}", format_sparsity(w.sparsity), _target(w))
            for w in self.weights
        ]
        rows.append(("all", f"{self.size:,}", f"{self.kept:,}", format_sparsity(self.sparsity), ""))
        columns = (
            Column("weight", long="shorten"),
            Column("size", right=True, drop=1),
            Column("kept", right=True),
            Column("sparsity", right=True),
            Column("target", right=True),
        )
        step = f"step {self.step}, policy {self.fingerprint[:12]}"
        parts = (
            Table(columns, rows, total=True),
            Paragraph([f"note: {note}" for note in self.notes] + list(notes), "note"),
            Paragraph([*self._of_all(), step]),
            Paragraph([stay_line(self.kept, self.size)], "result"),
        )
        return [part for part in parts if isinstance(part, Table) or part.lines]

    def _of_all(self) -> Iterator[str]:
        """Yield the figures for the whole model, as a line."""
        parts = []
        if self.parameters is not None:
            parts.append(f"{self.zeros:,} of {self.parameters:,} parameters are pruned")
        if self.left_dense:
            which = "are" if parts else "parameters are"
            parts.append(f"{self.left_dense:,} {which} in layers left dense")
        if parts:
            yield "; ".join(parts)


def _target(weight: WeightReport) -> str:
    return weight.by if weight.target is None else format_sparsity(weight.target)


def make_report(
    plan: Plan,
    step: int,
    masks: Mapping[str, Array],
    kept: Mapping[str, int],
    live: LiveModel,
    notes: Sequence[str],
    tensors: Callable[[], Sequence[StateTensor]] | None,
) -> Report:
    """Return the report on a live model.

    Args:
        plan: The plan that it is pruned by.
        step: The number of optimizer updates finished.
        masks: The current masks.
        kept: What each mask keeps.
        live: How the model differs from them.
        notes: What the user should know.
        tensors: Returns the state of the model, for its sizes; None where there is no model.

    """
    weights = tuple(
        WeightReport(
            planned.spec.name,
            planned.spec.size,
            _kept(planned.spec.name, planned.spec.size, kept, live),
            planned.target,
            planned.by,
        )
        for planned in plan.weights
    )
    return Report(
        step,
        weights,
        named_masks(plan, masks),
        tuple(notes),
        plan.policy.fingerprint,
        plan.parameters,
        plan.left_dense,
        plan,
        tensors,
    )


def named_masks(plan: Plan, masks: Mapping[str, Array]) -> Masks:
    """Return masks that answer to all names of the weights of a plan."""
    aliases = {alias: p.spec.name for p in plan.weights for alias in p.spec.aliases}
    return Masks(masks, aliases)


def _kept(name: str, size: int, kept: Mapping[str, int], live: LiveModel) -> int:
    if name in live.changes:
        return size
    return min(size, kept.get(name, size) + live.nonzero.get(name, 0))
