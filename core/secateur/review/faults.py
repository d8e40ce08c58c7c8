"""Every fault of a policy, not the first only: what is faulty is left out, and the rest read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
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

_PASSES = 8
"""How often what is faulty is left out, and the rest read once more."""
_LINE = re.compile(r"\bline (\d+)")
_STAND_IN = {"kind": "one_shot", "final_sparsity": 0.5}


@dataclass(frozen=True)
class Reading:
    """What could be read of a policy.

    Attributes:
        policy: The policy, without its faulty parts; None where too little is left.
        findings: The faults.
        layers: The files that it is made of.
        is_partial: Whether something was left out.

    """

    policy: Policy | None
    findings: tuple[Finding, ...]
    layers: tuple[Layer, ...] = ()
    is_partial: bool = False


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
    if rest is not None:
        found += [Finding(WARNING, note) for note in vain(overrides, rest.rules)]
    return Reading(rest, tuple(found), tuple(layers), is_partial=bool(errors or more))


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


def _without_faults(whole: Merged) -> tuple[Policy | None, list[Finding]]:
    found: list[Finding] = []
    for _ in range(_PASSES):
        try:
            return validated(whole), found
        except ValidationError as error:
            wrong = faults(error)
        for fault in wrong:
            where = fault.where if fault.key is None else (*fault.where, fault.key)
            written = written_at(whole.origins, where)
            file = whole.origins.place(where).file
            text = fault.line(whole.origins).removeprefix(f"{file}: ")
            found.append(Finding(PROBLEM, text, written.file, written.line))
        rest = _left_out(whole, wrong)
        if rest is None:
            break
        whole = rest
    return None, found


def _left_out(whole: Merged, wrong: Sequence[Fault]) -> Merged | None:
    """Return a table without its faulty keys and rules; None where nothing would be left."""
    keys, indices = set(), set()
    for fault in wrong:
        path: TablePath = fault.where if fault.key is None else (*fault.where, fault.key)
        if len(path) > 1 and path[0] == "rules" and isinstance(path[1], int):
            indices.add(path[1])
        elif path:
            keys.add(path[0])
        else:
            return None
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
