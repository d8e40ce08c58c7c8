"""Which settings differ between two policies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secateur.policy.policy import Policy


@dataclass(frozen=True)
class Change:
    """One setting of one rule: what it was and what it is; None where there is no such thing."""

    rule: str
    setting: str
    before: Any
    after: Any


def policy_changes(before: Policy, after: Policy) -> list[Change]:
    """Return every setting that differs, rule by rule, defaults filled in.

    Rules are the same rule when they have the same id, or else the same match.

    >>> one = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
    >>> two = {"schedule": {"kind": "one_shot", "final_sparsity": 0.7}}
    >>> policy_changes(Policy.parse(one), Policy.parse(two))
    [Change(rule='everything', setting='schedule.final_sparsity', before=0.5, after=0.7)]
    """
    old, new = _rules(before), _rules(after)
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
    found: dict[str, dict[str, Any]] = {}
    for settled in policy.resolved_rules:
        match = settled.match.normalised()
        known = policy.rules[settled.number - 1].id if policy.rules else None
        name = known or (json.dumps(match) if match else "everything")
        if name in found:
            name = f"{name} (rule {settled.number})"
        method = settled.method.to_dict() if settled.method else {}
        settings = {"match": match, "prune": bool(method), "required": settled.required, **method}
        found[name] = {"number": settled.number, "settings": settings}
    return found


def _flat(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{above}{key}.")
        else:
            flat[above + key] = value
    return flat
