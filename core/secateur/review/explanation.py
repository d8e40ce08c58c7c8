"""The explanation of weights: a value that prints as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from secateur.policy.policy import Policy
from secateur.policy.reading.lines import Written
from secateur.run.planned import PlannedWeight
from secateur.tables import Column, Paragraph, Printed, Table, View, format_sparsity

_MOST_RULES = 8
"""How many rules of one sort a table shows."""
_SETTINGS = (
    Column("setting", long="shorten"),
    Column("value", long="wrap"),
    Column("from", long="shorten"),
)
_RULES = (
    Column("rule", long="shorten", least=10),
    Column("written in", long="shorten", least=16),
    Column("for this weight", long="wrap"),
)


@dataclass(frozen=True)
class Setting:
    """A setting of the rule that decides a weight.

    Attributes:
        key: Its dotted key, such as ``schedule.final_sparsity``.
        value: Its value; None for a `frequency` that is left open.
        source: ``file``: the policy's own file; ``base``: a file that it extends; ``override``;
            ``default``; ``code``: a policy that was made in code.
        written: The file and the line, where there is one.

    Example:
        >>> str(Setting("criterion", "magnitude", "default", Written(None, None)))
        'default'

    """

    key: str
    value: Any
    source: Literal["file", "base", "override", "default", "code"] | str
    written: Written

    def __str__(self) -> str:
        if self.source in ("default", "code"):
            return self.source
        return f"{self.written} (base)" if self.source == "base" else str(self.written)


@dataclass(frozen=True)
class RuleVerdict:
    """What a rule says to a weight.

    Attributes:
        number: The number of the rule within the policy, from 1.
        id: Its id, if it has one.
        written: The file and the line of the rule.
        matches: Whether it matches the weight.
        decides: Whether it is the first that does.
        unmet: What the weight does not fulfil, in words.
        unanswered: What the rule asks that a file does not say, such as ``position``; None where
            everything is known.

    Example:
        >>> RuleVerdict(2, "body", Written("p.toml", 7), True, False, ()).label
        'body'

    """

    number: int
    id: str | None
    written: Written
    matches: bool
    decides: bool
    unmet: tuple[str, ...]
    unanswered: str | None = None

    @property
    def label(self) -> str:
        """What tables call the rule: its id or, without one, its number."""
        return self.id or str(self.number)

    def __str__(self) -> str:
        if self.decides:
            return "decides"
        if self.unanswered:
            return f"may match: a file does not say the {self.unanswered} of a weight"
        if self.matches:
            return "would match; an earlier rule decides"
        return f"does not match: {', '.join(self.unmet)}" if self.unmet else "does not match"


@dataclass(frozen=True)
class ExplainedWeight:
    """Why one weight is pruned as it is.

    Attributes:
        planned: The weight, and where it ends.
        rule: The rule that decides it; None when no rule matches.
        settings: The settings of that rule, and where each is from.
        rules: What each rule of the policy says to the weight.

    Example:
        >>> import numpy as np
        >>> import secateur
        >>> [weight] = secateur.explain({"fc": np.ones((2, 4))}, "cnn-80", "fc").weights
        >>> [str(rule) for rule in weight.rules][:2]
        ['decides', 'would match; an earlier rule decides']

    """

    planned: PlannedWeight
    rule: RuleVerdict | None
    settings: tuple[Setting, ...]
    rules: tuple[RuleVerdict, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        spec = self.planned.spec
        return {
            "name": spec.name,
            "kind": spec.kind,
            "role": spec.role,
            "shape": list(spec.shape),
            "size": spec.size,
            "pruned": self.planned.pruned,
            "target": self.planned.target,
            "rule": self.rule and self.rule.label,
            "settings": [
                {
                    "key": each.key,
                    "value": each.value,
                    "source": each.source,
                    "file": each.written.file,
                    "line": each.written.line,
                }
                for each in self.settings
            ],
            "rules": [
                {
                    "rule": each.number,
                    "id": each.id,
                    "file": each.written.file,
                    "line": each.written.line,
                    "matches": each.matches,
                    "decides": each.decides,
                    "unmet": list(each.unmet),
                    "unanswered": each.unanswered,
                }
                for each in self.rules
            ],
        }


@dataclass(frozen=True, repr=False)
class Explanation(Printed):
    """What a policy does to some weights, and why; prints as tables.

    Attributes:
        policy: The policy.
        adapter: The name of the adapter that bound the model.
        weights: The weights that are explained.
        others: The names of further weights that match and are not explained.
        notes: What else is wrong with the policy on this model.

    Example:
        >>> import numpy as np
        >>> import secateur
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> found = secateur.explain({"fc": np.ones((2, 4))}, half, "fc")
        >>> print(found.to_text().splitlines()[0])
        fc (dense, 2x4, 8 weights): rule 1 decides, and ends at sparsity 0.5000

    """

    policy: Policy
    adapter: str
    weights: tuple[ExplainedWeight, ...]
    others: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain values, for JSON.

        Example:
            >>> import numpy as np
            >>> import secateur
            >>> found = secateur.explain({"fc": np.ones((2, 4))}, "cnn-80", "fc").to_dict()
            >>> found["weights"][0]["settings"][0]["key"]
            'prune'

        """
        return {
            "policy": self.policy.name,
            "fingerprint": self.policy.fingerprint,
            "adapter": self.adapter,
            "weights": [each.to_dict() for each in self.weights],
            "others": list(self.others),
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return f"<Explanation of {len(self.weights)} weights, policy {self.policy.title}>"

    def view(self, fold: bool = True, notes: Sequence[str] = ()) -> View:
        """Return what is printed of the explanation.

        Args:
            fold: Whether rules that do not match are counted where there are many.
            notes: More that the reader should know.

        """
        parts: list[Table | Paragraph] = []
        for each in self.weights:
            parts.append(Paragraph([_headline(each)], "result"))
            if each.settings:
                rows = [(s.key, _value(s.value), str(s)) for s in each.settings]
                parts.append(Table(_SETTINGS, rows))
            parts.append(Table(_RULES, list(_rows(each.rules, fold))))
        lines = [f"note: {note}" for note in self.notes] + list(notes)
        if self.others:
            lines.append(f"and {len(self.others):,} more weights match; give the name of one")
        if lines:
            parts.append(Paragraph(lines, "note"))
        return [*parts, Paragraph([f"policy {self.policy.title}, adapter {self.adapter}"])]


def _headline(each: ExplainedWeight) -> str:
    planned = each.planned
    spec, rule = planned.spec, each.rule
    weight = f"{spec.name} ({spec.kind}, {'x'.join(map(str, spec.shape))}, {spec.size:,} weights)"
    number = len(each.rules) + 1 if rule is None else rule.number
    if earlier := [r for r in each.rules if r.unanswered and r.number < number]:
        label, asks = earlier[0].label, earlier[0].unanswered
        return f"{weight}: rule {label} may decide it; only the model says its {asks}"
    if rule is None:
        return f"{weight}: no rule matches, so it stays dense"
    where = "" if rule.written.file is None else f" ({rule.written})"
    if not planned.pruned:
        return f"{weight}: rule {rule.label}{where} decides, and keeps it dense"
    if planned.target is None:
        is_by_score = planned.by == PlannedWeight.by
        by = "the scores of all its weights" if is_by_score else f"prunes {planned.by}"
        return f"{weight}: rule {rule.label}{where} decides, and {by}"
    end = format_sparsity(planned.target)
    return f"{weight}: rule {rule.label}{where} decides, and ends at sparsity {end}"


def _value(value: Any) -> str:
    if value is None:
        return "open"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if not isinstance(value, tuple) else str([*value])


def _rows(rules: Sequence[RuleVerdict], fold: bool) -> Iterator[tuple[str, str, str]]:
    shown = {True: 0, False: 0}
    is_open = False
    for rule in rules:
        is_open = is_open or rule.unanswered is not None
        shown[rule.matches] += 1
        if not fold or shown[rule.matches] <= _MOST_RULES or rule.decides:
            sure = "" if not (rule.decides and is_open) else ", unless an earlier rule does"
            yield rule.label, str(rule.written), f"{rule}{sure}"
    for matches, count in shown.items():
        if fold and count > _MOST_RULES:
            word = "match" if matches else "do not match"
            yield "...", "", f"{count - _MOST_RULES:,} more rules {word}"
