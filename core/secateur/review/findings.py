"""What a check has found: a value that prints as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from secateur.policy.reading.lines import Written
from secateur.tables import Column, Paragraph, Printed, Table, View, stay_line

Level = Literal["problem", "warning"]
PROBLEM: Level = "problem"
WARNING: Level = "warning"
_COLUMNS = (
    Column("where", long="shorten", least=14),
    Column("level"),
    Column("what", long="wrap"),
)
_MOST = 50
"""How many findings are shown, where it is not asked for all."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a policy, or probably not what was meant.

    Attributes:
        level: ``problem``: an error, or surely meant otherwise; ``warning``: worth a look.
        text: What is wrong, and what to do.
        file: The file; None for a policy that was made in code.
        line: The line in it, from 1, where it is known.

    Example:
        >>> print(Finding("problem", "no such key", "p.toml", 3))
        p.toml:3: problem: no such key

    """

    level: Level
    text: str
    file: str | None = None
    line: int | None = None

    @property
    def where(self) -> str:
        """The file and the line, as tables show them."""
        return str(Written(self.file, self.line))

    def __str__(self) -> str:
        return f"{self.where}: {self.level}: {self.text}"


@dataclass(frozen=True)
class CheckedModel:
    """What a policy comes to on a model that it was checked with.

    Attributes:
        name: The model's file, or its number among the models.
        kept: How many elements of the prunable weights stay.
        size: How many there are.
        at_most: Whether `kept` is the most, since values decide how many stay.
        about: Whether `kept` is about what stays, since values decide among groups of other sizes.

    Example:
        >>> CheckedModel("net.npz", 20, 100).sparsity
        0.8

    """

    name: str
    kept: int
    size: int
    at_most: bool = False
    about: bool = False

    @property
    def sparsity(self) -> float:
        """The fraction that is pruned."""
        return 1 - self.kept / self.size if self.size else 0.0


@dataclass(frozen=True, repr=False)
class Check(Printed):
    """Everything that was found in a policy; prints as a table.

    Attributes:
        policy: What the policy is called: its file.
        fingerprint: The policy's fingerprint; None for one that is not valid.
        findings: The problems, then the warnings, each in the order of the file.
        models: What the policy comes to on each model.

    Example:
        >>> import secateur
        >>> found = secateur.check({"schedule": {"kind": "one_shot", "final_sparsity": 80}})
        >>> found.ok, found.problems[0].text
        (False, 'schedule.final_sparsity: 80: input should be less than or equal to 1; a ...')

    """

    policy: str
    fingerprint: str | None
    findings: tuple[Finding, ...]
    models: tuple[CheckedModel, ...] = ()

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The errors, and what was surely meant otherwise."""
        return tuple(each for each in self.findings if each.level == PROBLEM)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What may be right, and is worth a look."""
        return tuple(each for each in self.findings if each.level == WARNING)

    @property
    def ok(self) -> bool:
        """Whether there is no problem; there may be warnings."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain values, for JSON.

        Example:
            >>> import secateur
            >>> secateur.check("cnn-80").to_dict()["problems"]
            []

        """
        problems, warnings = (
            [{"text": each.text, "file": each.file, "line": each.line} for each in found]
            for found in (self.problems, self.warnings)
        )
        return {
            "policy": self.policy,
            "ok": self.ok,
            "fingerprint": self.fingerprint,
            "problems": problems,
            "warnings": warnings,
            "models": [{**vars(each), "sparsity": each.sparsity} for each in self.models],
        }

    def __repr__(self) -> str:
        return f"<Check of {self.policy}: {self._summary()}>"

    def view(self, fold: bool = True, notes: Sequence[str] = ()) -> View:
        """Return what is printed of the check.

        Args:
            fold: Whether only the first fifty findings are shown.
            notes: More that the reader should know.

        """
        shown = self.findings[:_MOST] if fold else self.findings
        parts: list[Table | Paragraph] = []
        if shown:
            rows = [(each.where, each.level, each.text) for each in shown]
            parts.append(Table(_COLUMNS, rows))
        lines = list(notes)
        if len(shown) < len(self.findings):
            lines.append(f"and {len(self.findings) - len(shown):,} more findings")
        lines += [
            f"{each.name}: {stay_line(each.kept, each.size, each.at_most, each.about)}"
            for each in self.models
        ]
        if lines:
            parts.append(Paragraph(lines, "note"))
        return [*parts, Paragraph([f"{self.policy}: {self._summary()}"], "result")]

    def _summary(self) -> str:
        counts = (len(self.problems), len(self.warnings))
        words = [
            f"{count:,} {word}{'s' * (count != 1)}"
            for count, word in zip(counts, ("problem", "warning"), strict=True)
            if count
        ]
        return " and ".join(words) or "no problems"
