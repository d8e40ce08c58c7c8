"""A remark on a part of a policy, before it is known where that part is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from secateur.errors import listed
from secateur.policy.origins import TablePath
from secateur.policy.policy import Policy
from secateur.policy.reading.lines import Written
from secateur.policy.rule import ResolvedRule
from secateur.review.findings import Finding, Level


@dataclass(frozen=True)
class Remark:
    """What is to be said of a part of a policy.

    Attributes:
        level: How bad it is.
        path: The path of the part in the policy's table.
        text: What is wrong.
        rule: The rule that it is about; the text then follows its label.

    """

    level: Level
    path: TablePath
    text: str
    rule: ResolvedRule | None = None


def path_of(policy: Policy, rule: ResolvedRule, *keys: str) -> TablePath:
    """Return the path of a setting of a rule: its own one, or the policy's default.

    Args:
        policy: The policy.
        rule: A rule of it.
        keys: The keys of the setting; the first may be that of a component.

    """
    own: TablePath = ("rules", rule.number - 1)
    if not policy.rules:
        return keys
    if keys and getattr(policy.rules[rule.number - 1], keys[0], None) is None:
        return keys
    return (*own, *keys)


def named(policy: Policy, rules: Iterable[ResolvedRule]) -> str:
    """Return the words for rules: the id of each, or where it is written."""
    labels = [
        repr(rule.id) if rule.id else _place(policy.written_at(("rules", rule.number - 1)), rule)
        for rule in rules
    ]
    return f"rule{'s' * (len(labels) > 1)} {listed(labels, 5)}"


def _place(written: Written, rule: ResolvedRule) -> str:
    return str(rule.number) if written.line is None else str(written)


def as_findings(policy: Policy, remarks: Iterable[Remark]) -> list[Finding]:
    """Return remarks with the files and lines that they are about, equal ones of rules as one.

    Args:
        policy: The policy.
        remarks: The remarks.

    """
    alike: dict[tuple[Level, TablePath, str], list[ResolvedRule]] = {}
    for remark in remarks:
        rules = alike.setdefault((remark.level, remark.path, remark.text), [])
        if remark.rule is not None and policy.rules:
            rules.append(remark.rule)
    findings = []
    for (level, path, text), rules in alike.items():
        written = policy.written_at(path)
        words = f"{named(policy, rules)}: {text}" if rules else text
        findings.append(Finding(level, words, written.file, written.line))
    return findings
