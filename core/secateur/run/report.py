"""What a run has come to: sparsity by weight, and what was forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from secateur.errors import nearest
from secateur.layout import Array
from secateur.run.plan import Plan
from secateur.tables import format_sparsity, render


class Masks(Mapping[str, Array]):
    """Masks by weight name; a tied weight answers to all its names.

    Arrays are bool, canonical, True = kept, read-only.
    """

    def __init__(self, masks: Mapping[str, Array], aliases: Mapping[str, str]) -> None:
        self._masks, self._aliases = masks, aliases

    def __getitem__(self, name: str) -> Array:
        try:
            return self._masks[self._aliases.get(name, name)]
        except KeyError:
            raise KeyError(f"no mask for {name!r}: {nearest(name, self._masks)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)


@dataclass(frozen=True)
class WeightReport:
    """One weight: its size, how many elements the mask keeps, and the final target."""

    name: str
    size: int
    kept: int
    target: float | None

    @property
    def sparsity(self) -> float:
        """The fraction that is pruned."""
        return 1 - self.kept / self.size if self.size else 0.0


@dataclass(frozen=True)
class Report:
    """The state of pruning; prints as a table.

    `masks` holds the masks in force, `notes` what the user should know, such as a schedule
    that never moved, `fingerprint` is the policy's.
    """

    step: int
    weights: tuple[WeightReport, ...]
    masks: Masks
    notes: tuple[str, ...]
    fingerprint: str

    @property
    def size(self) -> int:
        """The number of elements of all prunable weights together."""
        return sum(weight.size for weight in self.weights)

    @property
    def kept(self) -> int:
        """How many of them the masks keep."""
        return sum(weight.kept for weight in self.weights)

    @property
    def sparsity(self) -> float:
        """The fraction of all prunable weights together that is pruned."""
        return 1 - self.kept / self.size if self.size else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values, for JSON."""
        return {
            "step": self.step,
            "sparsity": self.sparsity,
            "fingerprint": self.fingerprint,
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

    def __str__(self) -> str:
        rows = [
            (w.name, f"{w.size:,}", f"{w.kept:,}", format_sparsity(w.sparsity), _target(w.target))
            for w in self.weights
        ]
        rows.append(("all", f"{self.size:,}", f"{self.kept:,}", format_sparsity(self.sparsity), ""))
        text = render(("weight", "size", "kept", "sparsity", "target"), rows, right=(1, 2, 3, 4))
        notes = "".join(f"\nnote: {note}" for note in self.notes)
        return f"{text}\n\nstep {self.step}, policy {self.fingerprint[:12]}{notes}"


def _target(target: float | None) -> str:
    return "by score" if target is None else format_sparsity(target)


def make(
    plan: Plan,
    step: int,
    masks: Mapping[str, Array],
    notes: tuple[str, ...],
    kept: Mapping[str, int],
) -> Report:
    """Report on the masks in force under a plan; `kept` counts what each of them keeps."""
    weights = tuple(
        WeightReport(
            planned.spec.name,
            planned.spec.size,
            kept.get(planned.spec.name, planned.spec.size),
            planned.target,
        )
        for planned in plan.weights
    )
    aliases = {alias: p.spec.name for p in plan.weights for alias in p.spec.aliases}
    return Report(step, weights, Masks(masks, aliases), notes, plan.policy.fingerprint)
