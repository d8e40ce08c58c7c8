"""Every fault of a policy, not the first only: what is faulty is left out, and the rest read."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from secateur.errors import PolicyError
from secateur.policy.messages import Fault, faults
from secateur.policy.origins import Place, TablePath
from secateur.policy.policy import Policy, PolicyLike, as_policy, validated
from secateur.policy.reading.files import Layer, merged, read_layers, table_layers
from secateur.policy.reading.lines import written_at
from secateur.policy.reading.merging import COMPONENTS, Merged
from secateur.policy.reading.overrides import Overrides, override, vain
from secateur.policy.sources import FORMATS
from secateur.review.findings import PROBLEM, WARNING, Finding

_CONDITIONS = ("match", "id", "required")
"""Keys of a rule that do not say how it prunes."""
_PASSES = 8
"""How often what is faulty is left out, and the rest read once more."""
_LINE = re.compile(r"\bline (\d+)")
_KEY_FIRST = re.compile(r"([a-z_.]+) = ")
"""What a fault begins with that is about one key of a table."""
_STAND_IN = {"kind": "one_shot", "final_sparsity": 0.5}


@dataclass(frozen=True)
class Reading:
    """What could be read of a policy.

    Attributes:
        policy: The policy, without its faulty parts; None where too little is left.
        findings: The faults.
        layers: The files that it is made of.
        is_partial: Whether something was left out.
        knows_schedule: Whether the default schedule is that of the policy.

    """

    policy: Policy | None
    findings: tuple[Finding, ...]
    layers: tuple[Layer, ...] = ()
    is_partial: bool = False
    knows_schedule: bool = True


def read_all(policy: PolicyLike, overrides: Overrides) -> Reading:
    """Read a policy, and collect its faults.

    Args:
        policy: A Policy, a path, a mapping, or the name of a ready policy.
        overrides: Settings to change.

    Raises:
        PolicyError: `policy` is none of these.

    """
    errors: list[PolicyError] = []
    if isinstance(policy, Policy):
        return Reading(policy, ())
    if isinstance(policy, Mapping):
        layers = table_layers(policy, errors.append)
    elif isinstance(policy, (str, os.PathLike)):
        layers = read_layers(os.fspath(policy), errors.append)
    else:
        return Reading(as_policy(policy), ())
    whole = None
    try:
        whole = merged(layers) if layers else None
        if whole is not None and overrides.values:
            whole = override(whole, overrides)
    except PolicyError as error:
        errors.append(error)
    if whole is not None and any(layer.lacks_bases for layer in layers):
        whole = _without_parts_of_bases(whole)
    name = None if isinstance(policy, Mapping) else os.fspath(policy)
    found = [_finding(error, name) for error in errors]
    if whole is None:
        return Reading(None, tuple(found), tuple(layers), is_partial=True)
    for place, note in whole.misspelt:
        found.append(_at(whole, place, note.removeprefix(f"{place.file}: ")))
    rest, more = _without_faults(whole)
    found += more
    if rest is None:
        return Reading(None, tuple(found), tuple(layers), is_partial=True)
    read = validated(rest)
    found += [Finding(WARNING, note) for note in vain(overrides, read.rules)]
    return Reading(
        read,
        tuple(found),
        tuple(layers),
        is_partial=bool(errors or more),
        knows_schedule=rest.table.get("schedule") is not _STAND_IN,
    )


def _without_parts_of_bases(whole: Merged) -> Merged:
    """Return a table in which nothing is wrong only because a base of it could not be read."""
    table = {
        key: value
        for key, value in whole.table.items()
        if key not in COMPONENTS or not isinstance(value, Mapping) or "kind" in value
    }
    return replace(whole, table={"schedule": _STAND_IN, **table})


def _finding(error: PolicyError, policy: str | None) -> Finding:
    """Return an error as a finding, in the file that it names first, or that of the policy."""
    name, _, rest = str(error).partition(": ")
    if not name.endswith(FORMATS) and name != policy:
        return Finding(PROBLEM, str(error), policy)
    line = _LINE.search(rest)
    return Finding(PROBLEM, rest, name, int(line[1]) if line else None)


def _at(whole: Merged, place: Place, text: str) -> Finding:
    for index, rule in enumerate(whole.origins.rules):
        if rule == place:
            written = written_at(whole.origins, ("rules", index))
            return Finding(PROBLEM, text, written.file, written.line)
    return Finding(PROBLEM, text, place.file)


def _without_faults(whole: Merged) -> tuple[Merged | None, list[Finding]]:
    """Return a table without what is faulty in it, None where nothing is left, and the faults.

    A rule whose `match` alone is faulty stays to the end, so that what else is wrong is found.
    """
    found: list[Finding] = []
    unmatched: set[Place] = set()
    for _ in range(_PASSES):
        try:
            validated(whole)
        except ValidationError as error:
            wrong = faults(error)
        else:
            places = enumerate(whole.origins.rules)
            return _left_out(whole, set(), {n for n, at in places if at in unmatched}), found
        found += (_as_finding(fault, whole) for fault in wrong)
        paths = [fault.where if fault.key is None else (*fault.where, fault.key) for fault in wrong]
        rest = _without_parts(whole, paths, unmatched)
        if rest is None:
            break
        whole = rest
    return None, found


def _as_finding(fault: Fault, whole: Merged) -> Finding:
    where = fault.where if fault.key is None else (*fault.where, fault.key)
    file = whole.origins.place(where).file
    text = fault.line(whole.origins).removeprefix(f"{file}: ")
    if key := _KEY_FIRST.match(fault.text):
        where = (*where, *key[1].split("."))
    written = written_at(whole.origins, where)
    return Finding(PROBLEM, text, written.file, written.line)


def _without_parts(
    whole: Merged, paths: Sequence[TablePath], unmatched: set[Place]
) -> Merged | None:
    """Return a table without its faulty parts; None where nothing would be left.

    A rule that does not say how it prunes, or wrongly, prunes nothing, and decides what it matches.

    Args:
        whole: The table.
        paths: Where the faults are.
        unmatched: Gets the places of rules that stay, without their faulty `match`.

    """
    if () in paths:
        return None
    rules = whole.table.get("rules")
    rules = list(rules) if isinstance(rules, (list, tuple)) else []
    keys: set[Any] = set()
    indices: set[int] = set()
    for path in paths:
        index = path[1] if len(path) > 1 and path[0] == "rules" else None
        if index is None:
            keys.add(path[0])
        elif not isinstance(index, int) or not isinstance(rules[index], Mapping):
            indices.add(int(index))
        elif path[2:3] and path[2] in _CONDITIONS:
            rules[index] = {k: each for k, each in rules[index].items() if k != path[2]}
            if path[2] == "match":
                unmatched.add(whole.origins.place(path[:2]))
        else:
            known = {k: each for k, each in rules[index].items() if k in _CONDITIONS}
            rules[index] = {**known, "prune": False}
    table = {**whole.table, "rules": rules} if rules else whole.table
    return _left_out(replace(whole, table=table), keys, indices)


def _left_out(whole: Merged, keys: Collection[Any], indices: Collection[int]) -> Merged | None:
    """Return a table without some keys and rules; None where nothing would be left."""
    if not keys and not indices:
        return whole
    table: dict[str, Any] = {key: each for key, each in whole.table.items() if key not in keys}
    if "schedule" in keys:
        table["schedule"] = _STAND_IN
    rules = table.get("rules")
    kept = [n for n in range(len(rules)) if n not in indices] if isinstance(rules, list) else []
    if not kept and rules is not None:
        return None
    if kept and isinstance(rules, list):
        table["rules"] = [rules[index] for index in kept]
    settings = {
        _moved(path, kept): place
        for path, place in whole.origins.settings.items()
        if path[0] not in keys and (path[0] != "rules" or len(path) < 2 or path[1] in kept)
    }
    places = [whole.origins.rules[n] for n in kept if n < len(whole.origins.rules)]
    return Merged(table, replace(whole.origins, settings=settings, rules=places))


def _moved(path: TablePath, kept: Sequence[int]) -> TablePath:
    if path[0] == "rules" and len(path) > 1 and isinstance(path[1], int):
        return ("rules", kept.index(path[1]), *path[2:])
    return path
