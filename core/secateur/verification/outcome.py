"""Whether a model obeys a policy: what was found, weight by weight."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from secateur.tables import Column, Lines, Paragraph, Printed, Table, View

MOST_ROWS = 20
"""How many weights are shown; --all shows each."""
_COLUMNS = (
    Column("weight", long="shorten"),
    Column("rule", long="shorten", least=8, drop=1),
    Column("asked", right=True),
    Column("zero", right=True),
    Column("of", right=True, drop=2),
)
_WHY = Column("what is wrong", long="wrap", least=20)


@dataclass(frozen=True)
class VerifiedWeight:
    """One weight beside what the policy asks of it.

    Attributes:
        name: Its name, as in a plan.
        rule: The number of the rule that decides it, from 1; None when no rule matches.
        size: The number of its elements.
        zeros: How many of them are zero.
        unit: What is counted: weights, or the groups of the pattern.
        groups: How many of them there are.
        asked: How many groups must be zero; None where a rule asks that of its weights together,
            or where their values decide it.
        zero: How many groups are zero.
        negative_zeros: How many elements are -0.0, which pruning never writes.
        not_finite: How many elements are NaN or infinite.
        kept_zeros: How many zeros lie where the given masks keep; None without masks.
        problems: What is wrong, in words.
        by: What decides how many must be zero where `asked` is None.

    Example:
        >>> weight = VerifiedWeight("fc", 1, 8, 4, "weights", 8, asked=4, zero=4)
        >>> weight.holds
        True

    """

    name: str
    rule: int | None
    size: int
    zeros: int
    unit: str
    groups: int
    asked: int | None
    zero: int
    negative_zeros: int = 0
    not_finite: int = 0
    kept_zeros: int | None = None
    problems: tuple[str, ...] = ()
    by: str = "together"

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.problems


@dataclass(frozen=True, repr=False)
class Verification(Printed):
    """Whether a model obeys a policy; prints as a table of what does not.

    Attributes:
        model: The file, or the adapter of a live model.
        sha256: The SHA-256 of the file; None of a live model or a folder.
        policy: The policy's name and the beginning of its fingerprint.
        fingerprint: The policy's.
        step: The step that was asked for; None for the end of every schedule.
        weights: Each prunable weight, in the order of the model.
        labels: What the rules are called, by their number.
        problems: What is wrong with no weight alone: of the weights of a rule together, of masks
            or of the policy.
        proven_by: The files of masks that the weights were compared with.
        versions: The versions of what was used.
        notes: What the user should know.

    Example:
        >>> import numpy as np
        >>> import secateur
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> weights = {"fc": np.array([[0.0, 3.0], [0.0, 4.0]])}
        >>> secateur.verify(weights, half).holds
        True

    """

    model: str
    sha256: str | None
    policy: str
    fingerprint: str
    step: int | None
    weights: tuple[VerifiedWeight, ...]
    labels: Mapping[int | None, str]
    problems: tuple[str, ...] = ()
    proven_by: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def zeros(self) -> int:
        """How many elements of all prunable weights are zero."""
        return sum(weight.zeros for weight in self.weights)

    @property
    def holds(self) -> bool:
        """Whether the model obeys the policy."""
        return not self.problems and all(weight.holds for weight in self.weights)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "holds": self.holds,
            "model": self.model,
            "sha256": self.sha256,
            "policy": self.policy,
            "fingerprint": self.fingerprint,
            "step": self.step,
            "proven_by": list(self.proven_by),
            "versions": dict(self.versions),
            "problems": list(self.problems),
            "weights": [
                {**vars(weight), "problems": list(weight.problems), "holds": weight.holds}
                for weight in self.weights
            ],
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return f"<Verification of {self.model}: {self._result()}>"

    def view(self, fold: bool = True, notes: Sequence[str] = ()) -> View:
        """Return what is printed.

        Args:
            fold: Whether only what is wrong is shown, and a bounded number of it; False shows
                each weight, and the digest of the file.
            notes: More that the reader should know.

        """
        parts = (
            self._table(fold),
            Lines("of several weights together:", self._bounded(self.problems, fold)),
            Paragraph([f"note: {note}" for note in self.notes] + list(notes), "note"),
            Paragraph(list(self._about(fold))),
            Paragraph([self._result()], "result"),
        )
        return [part for part in parts if (part.rows if isinstance(part, Table) else part.lines)]

    def _table(self, fold: bool) -> Table:
        chosen = [weight for weight in self.weights if not (fold and weight.holds)]
        shown = chosen[:MOST_ROWS] if fold else chosen
        rows = [[*self._cells(weight), "; ".join(weight.problems)] for weight in shown]
        if len(shown) < len(chosen):
            more = f"and {len(chosen) - len(shown):,} more"
            rows.append([more, "", "", "", "", "--all or to_text(fold=False) lists each"])
        columns = _COLUMNS if self.holds else (*_COLUMNS, _WHY)
        return Table(columns, [row[: len(columns)] for row in rows])

    def _cells(self, weight: VerifiedWeight) -> list[str]:
        asked = weight.by if weight.asked is None else f"{weight.asked:,}"
        count = f"{weight.groups:,} {weight.unit}"
        return [weight.name, self.labels[weight.rule], asked, f"{weight.zero:,}", count]

    def _bounded(self, lines: Sequence[str], fold: bool) -> list[str]:
        if not fold or len(lines) <= MOST_ROWS:
            return list(lines)
        return [*lines[:MOST_ROWS], f"and {len(lines) - MOST_ROWS:,} more"]

    def _about(self, fold: bool) -> Iterator[str]:
        when = "at the final sparsity" if self.step is None else f"at step {self.step}"
        proof = f", masks of {', '.join(self.proven_by)}" if self.proven_by else ""
        yield f"policy {self.policy}, {when}{proof}"
        if self.sha256 and not fold:
            yield f"sha256 {self.sha256}"

    def _result(self) -> str:
        wrong = sum(not weight.holds for weight in self.weights)
        if self.holds:
            bits = ", bit for bit" if self.proven_by else ""
            zeros = f"{self.zeros:,} of {sum(weight.size for weight in self.weights):,} are zero"
            return f"holds: all {len(self.weights):,} weights obey the policy{bits}; {zeros}"
        if not wrong:
            return "does not hold"
        return f"does not hold: {wrong:,} of {len(self.weights):,} weights are not as asked"
