"""What a target does with the zeros of a model: a value that prints as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from secateur.adapter import WeightSpec
from secateur.errors import listed
from secateur.tables import Column, Lines, Paragraph, Printed, Table, View, format_sparsity
from secateur.targets.target import Target, Use

Status = Literal["met", "not met", "dense", "not eligible"]
MET: Status = "met"
UNMET: Status = "not met"
DENSE: Status = "dense"
NO: Status = "not eligible"
_MOST_NAMES = 4


@dataclass(frozen=True)
class TargetWeight:
    """One weight beside a target.

    Attributes:
        spec: The weight.
        use: How the target uses its zeros, or could; None if it cannot.
        reasons: By the id of each use why it does not take the weight; empty where it does.
        zeros: How many of its values are zero.
        status: ``met``: its zeros are used; ``not met``: it has zeros, and they are not used;
            ``dense``: it could be pruned for the target; ``not eligible``.
        problem: Why the zeros are not used in the best way that is open to the weight; None where
            they are.

    Example:
        >>> import numpy as np
        >>> import secateur
        >>> weight = secateur.target("tensorrt", {"fc": np.ones((8, 15), "f")}).weights[0]
        >>> weight.eligible, weight.reasons
        (False, {'2:4': ('in = 15 is no multiple of 4',)})

    """

    spec: WeightSpec
    use: Use | None
    reasons: Mapping[str, tuple[str, ...]]
    zeros: int
    status: Status
    problem: str | None = None

    @property
    def eligible(self) -> bool:
        """Whether the target can use zeros of this weight."""
        return self.use is not None

    @property
    def sparsity(self) -> float:
        """The fraction of zeros."""
        return self.zeros / self.spec.size if self.spec.size else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return {
            "name": self.spec.name,
            "kind": self.spec.kind,
            "shape": list(self.spec.shape),
            "dtype": self.spec.dtype,
            "sparsity": self.sparsity,
            "eligible": self.eligible,
            "use": self.use and self.use.id,
            "pattern": self.use and self.use.pattern.to_dict(),
            "gains": list(self.use.gains) if self.use else [],
            "status": self.status,
            "problem": self.problem,
            "reasons": {use: list(why) for use, why in self.reasons.items() if why},
        }


@dataclass(frozen=True, repr=False)
class TargetReport(Printed):
    """What a target does with the zeros of a model, weight by weight; prints as a table.

    Attributes:
        target: The target.
        adapter: The name of the adapter that bound the model.
        weights: Every prunable weight, in the order of the model.
        policy: A policy file whose zeros the target uses in this model; None if it can use none.
        judged: Whose zeros were looked at.
        notes: What the user should know besides.

    Example:
        >>> import numpy as np
        >>> import secateur
        >>> report = secateur.target("tensorrt", {"fc": np.ones((8, 16), "f")})
        >>> report.weights[0].status, report.meets
        ('dense', False)
        >>> half = {
        ...     "schedule": {"kind": "one_shot", "final_sparsity": 0.5},
        ...     "pattern": {"kind": "n_m", "keep": 2, "of": 4},
        ... }
        >>> secateur.target("tensorrt", {"fc": np.ones((8, 16), "f")}, policy=half).meets
        True

    """

    target: Target
    adapter: str
    weights: tuple[TargetWeight, ...]
    policy: str | None
    judged: str
    notes: tuple[str, ...] = field(default=())

    @property
    def eligible(self) -> tuple[TargetWeight, ...]:
        """The weights whose zeros the target can use."""
        return tuple(weight for weight in self.weights if weight.eligible)

    @property
    def meets(self) -> bool:
        """Whether the zeros are used: of some weight, and of every eligible weight with zeros."""
        found = {weight.status for weight in self.weights}
        return MET in found and UNMET not in found

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, for JSON.

        Example:
            >>> import numpy as np
            >>> import secateur
            >>> secateur.target("fpga", {"fc": np.ones((2, 4))}).to_dict()["meets"]
            False

        """
        return {
            "target": self.target.name,
            "title": self.target.title,
            "adapter": self.adapter,
            "judged": self.judged,
            "meets": self.meets,
            "weights": [weight.to_dict() for weight in self.weights],
            "policy": self.policy,
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        used = sum(weight.status == MET for weight in self.weights)
        return (
            f"<TargetReport {self.target.name}: {len(self.weights)} weights, "
            f"{len(self.eligible)} eligible, zeros used in {used}>"
        )

    def view(self, fold: bool = True, notes: Sequence[str] = ()) -> View:
        """Return what is printed of the report.

        Args:
            fold: Whether of many names only the first are listed.
            notes: More that the reader should know.

        """
        rows = [_row(weight) for weight in self.weights]
        most = _MOST_NAMES if fold else len(rows)
        parts: View = (
            Paragraph([f"{self.target.name}: {self.target.title}"]),
            Table(_COLUMNS, rows),
            Paragraph(list(self._what_is_gained())),
            Lines("not met, so zeros gain nothing, or less:", list(self._problems(most))),
            Lines("not taken:", list(self._reasons(most))),
            Paragraph([f"note: {note}" for note in (*self.notes, *notes)], "note"),
            Paragraph([self._outcome()], "result"),
            *self._to_copy(),
        )
        return [part for part in parts if isinstance(part, Table) or part.lines]

    def _what_is_gained(self) -> Iterator[str]:
        used = {weight.use.id for weight in self.weights if weight.use}
        for use in self.target.uses:
            if use.id in used:
                yield f"{use.id} ({', '.join(use.gains)}): {use.says}"

    def _problems(self, most: int) -> Iterator[str]:
        by_problem: dict[str, list[str]] = {}
        for weight in self.weights:
            if weight.problem:
                by_problem.setdefault(weight.problem, []).append(weight.spec.name)
        for problem, names in by_problem.items():
            yield f"{problem}: {listed(names, most)}"

    def _reasons(self, most: int) -> Iterator[str]:
        for use in self.target.uses:
            by_reason: dict[str, list[str]] = {}
            for weight in self.weights:
                if (why := weight.reasons.get(use.id)) and not self._has_better(weight, use):
                    by_reason.setdefault("; ".join(why), []).append(weight.spec.name)
            for reason, names in by_reason.items():
                yield f"{use.id}: {reason}: {listed(names, most)}"

    def _has_better(self, weight: TargetWeight, use: Use) -> bool:
        uses = self.target.uses
        return weight.use is not None and uses.index(weight.use) < uses.index(use)

    def _outcome(self) -> str:
        count = dict.fromkeys((MET, UNMET, DENSE, NO), 0)
        for weight in self.weights:
            count[weight.status] += 1
        words = ", ".join(f"{number} {status}" for status, number in count.items() if number)
        return f"{self.judged}: {'' if self.meets else 'not '}used ({words})"

    def _to_copy(self) -> Iterator[Paragraph]:
        if self.policy is not None:
            yield Paragraph(["a policy to copy:"])
            yield from (Paragraph(part.splitlines()) for part in self.policy.strip().split("\n\n"))
        elif self.eligible:
            words = "no policy can name these weights: a name is too long or not valid text"
            yield Paragraph([words])
        else:
            words = f"no policy gains anything on {self.target.name} with this model"
            yield Paragraph([words])


_COLUMNS = (
    Column("weight", long="shorten"),
    Column("shape", drop=1),
    Column("zeros", right=True),
    Column("use"),
    Column("gain"),
    Column("status"),
)


def _row(weight: TargetWeight) -> tuple[str, ...]:
    spec, use = weight.spec, weight.use
    return (
        spec.name,
        "x".join(map(str, spec.shape)),
        format_sparsity(weight.sparsity),
        use.id if use else "-",
        use.gains[0] if use else "-",
        "no" if weight.status == NO else weight.status,
    )
