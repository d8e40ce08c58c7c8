"""Which settings differ between two policies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secateur.policy.policy import Policy, PolicyLike, as_policy


@dataclass(frozen=True)
class Change:
    """The difference of one setting of one rule in two policies.

    Attributes:
        rule: The id of the rule, or else its match as JSON.
        setting: The dotted name of the setting, such as ``schedule.final_sparsity``; "rule" for
            a rule that only one policy has, "place" for one that has moved.
        before: Its value in the first policy; None where there is none.
        after: Its value in the second policy; None where there is none.

    Example:
        >>> Change("everything", "schedule.final_sparsity", 0.5, 0.7).after
        0.7

    """

    rule: str
    setting: str
    before: Any
    after: Any


def policy_changes(before: PolicyLike, after: PolicyLike) -> list[Change]:
    """Return every setting that differs, rule by rule, defaults filled in.

    Rules are the same rule when they have the same id, or else the same match.

    Args:
        before: A policy, or anything else that `secateur.plan` takes as one.
        after: Another one.

    Raises:
        PolicyError: One of them is not a policy.

    Example:
        >>> one = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> two = {"schedule": {"kind": "one_shot", "final_sparsity": 0.7}}
        >>> policy_changes(Policy.parse(one), Policy.parse(two))
        [Change(rule='everything', setting='schedule.final_sparsity', before=0.5, after=0.7)]

    """
    old, new = _rules(as_policy(before)), _rules(as_policy(after))
    changes = [Change(name, "rule", f"rule {old[name]['number']}", None) for name in old
               if name not in new]  # fmt: skip
    shared = [name for name in new if name in old]
    was = [name for name in old if name in new]
    for name, rule in new.items():
        if name not in old:
            changes.append(Change(name, "rule", None, f"rule {rule['number']}"))
            continue
        if was.index(name) != shared.index(name):
            changes.append(Change(name, "place", old[name]["number"], rule["number"]))
        first, second = _flat(old[name]["settings"]), _flat(rule["settings"])
        changes += [
            Change(name, setting, first.get(setting), second.get(setting))
            for setting in dict.fromkeys([*first, *second])
            if first.get(setting) != second.get(setting)
        ]
    return changes


def _rules(policy: Policy) -> dict[str, dict[str, Any]]:
    """Return the number and the settings of each rule, by a name that a person knows it by."""
    found: dict[str, dict[str, Any]] = {}
    for rule in policy.resolved_rules:
        match = rule.match.normalized()
        known = policy.rules[rule.number - 1].id if policy.rules else None
        name = known or (json.dumps(match) if match else "everything")
        if name in found:
            name = f"{name} (rule {rule.number})"
        method = rule.method.to_dict() if rule.method else {}
        settings = {"match": match, "prune": bool(method), "required": rule.required, **method}
        found[name] = {"number": rule.number, "settings": settings}
    return found


def _flat(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return a table of tables as one table, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{above}{key}.")
        else:
            flat[above + key] = value
    return flat
