"""Single settings of a policy changed from outside, as by ``--set schedule.final_sparsity=0.9``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from secateur.errors import PolicyError, nearest, shown
from secateur.policy.limits import MAX_BYTES, check_table
from secateur.policy.origins import Place, TablePath
from secateur.policy.reading.merging import (
    COMPONENTS,
    Merged,
    deep_merge,
    merge_component,
    merge_tables,
    places,
    renamed,
    rule_id,
)

_PART = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^."'\s]+))\s*(\.|\Z)""")
_ASSIGNMENT = re.compile(r"""((?:"[^"]*"|'[^']*'|[^="'])+)=(.*)""", re.DOTALL)
_QUOTED = """Texts in a list, and those with blanks, are quoted: '["conv", "dense"]', '"a b"'"""
_WORD = re.compile(r"[^\s\"'\[\]{}=,#]+")


@dataclass(frozen=True)
class Overrides:
    """Settings by their dotted keys.

    Attributes:
        values: The value of each key; rules go by their ids, as ``rules.stem.prune``.
        name: What errors call them.

    """

    values: Mapping[str, Any]
    name: str = "overrides"


def as_overrides(overrides: Any) -> Overrides:
    """Return what was given as overrides.

    Raises:
        PolicyError: It is no mapping.

    """
    if isinstance(overrides, Overrides):
        return overrides
    if overrides is not None and not isinstance(overrides, Mapping):
        raise PolicyError(
            f"overrides = {shown(overrides)}: wanted a mapping of dotted keys to values"
        )
    return Overrides(overrides or {})


def parse_settings(settings: Iterable[str], name: str) -> Overrides:
    """Return what texts such as ``schedule.final_sparsity=0.9`` set.

    Args:
        settings: The texts: a dotted key, ``=``, and a value of TOML.  A word that is none, such
            as ``global`` or ``10%``, is a text.
        name: What errors call them.

    Raises:
        PolicyError: A text is no such setting.

    Example:
        >>> parse_settings(["schedule.end_step=75%", "rules.stem.prune=false"], "--set").values
        {'schedule.end_step': '75%', 'rules.stem.prune': False}

    """
    return Overrides(dict(_assignment(text, name) for text in settings), name)


def _assignment(text: str, name: str) -> tuple[str, Any]:
    parts = _ASSIGNMENT.fullmatch(text)
    if parts is None:
        raise PolicyError(f"{name} {shown(text)}: wanted KEY=VALUE: schedule.final_sparsity=0.9")
    key, value = parts[1].strip(), parts[2].strip()
    return key, _value(value, f"{name} {key[:80]}")


def _value(text: str, where: str) -> Any:
    if len(text) > MAX_BYTES:
        raise PolicyError(f"{where}: larger than {MAX_BYTES:,} bytes, which no setting is")
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError as error:
        if _WORD.fullmatch(text):
            return text
        why = f"{shown(text)} is no value of TOML: {error!s:.100}"
        raise PolicyError(f"{where}: {why}. {_QUOTED}") from None
    except RecursionError:
        raise PolicyError(f"{where}: {shown(text)} is nested too deeply") from None
    if len(table) > 1:
        raise PolicyError(f"{where}: {shown(text)}: wanted one value, without a line of its own")
    return table["value"]


def override(base: Merged, overrides: Overrides) -> Merged:
    """Return a policy's table with settings changed.

    Args:
        base: The table, with all that it extends.
        overrides: The settings.  A part of a component of the same kind changes that part; a
            rule's component starts from that of the policy where the rule has none.

    Raises:
        PolicyError: A key is none, or names a rule that there is not.

    """
    tree = _as_tree(overrides)
    check_table(tree, overrides.name)
    _check_lists(base.table, tree, overrides.name)
    rules = tree.pop("rules", None)
    written = dict(places(tree, overrides.name))
    table, settings = merge_tables(base, tree, written)
    origins = replace(base.origins, settings=settings)
    if isinstance(rules, Mapping):
        table["rules"], more = _override_rules(Merged(table, origins), rules, overrides.name)
        origins = replace(origins, settings={**settings, **more})
    elif rules is not None:
        count = len(rules) if isinstance(rules, (list, tuple)) else 0
        fresh = [Place(overrides.name, ("rules", number)) for number in range(count)]
        kept = {path: place for path, place in settings.items() if path[0] != "rules"}
        whole = {**kept, ("rules",): Place(overrides.name, ("rules",))}
        table["rules"], origins = rules, replace(origins, settings=whole, rules=fresh)
    return Merged(renamed(base.table, table, "name" in tree), origins, base.misspelt)


def _as_tree(overrides: Overrides) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in overrides.values.items():
        path = list(_split(key, overrides.name))
        if path[0] == "extends":
            raise PolicyError(f"{overrides.name} extends: only a file can extend others")
        here = tree
        for part in path[:-1]:
            here = here.setdefault(part, {})
            if not isinstance(here, dict):
                raise PolicyError(f"{overrides.name} {key[:80]}: {part!r:.80} is set whole, too")
        known = here.get(path[-1])
        if isinstance(known, dict) and isinstance(value, Mapping):
            value = deep_merge(known, value)
        elif known is not None:
            raise PolicyError(f"{overrides.name} {key[:80]}: a part of it is set, too")
        here[path[-1]] = dict(value) if isinstance(value, Mapping) else value
    return tree


def _check_lists(table: Any, change: Any, where: str) -> None:
    """Refuse a number as a key where the table holds a list, which is set as one."""
    if not isinstance(table, Mapping) or not isinstance(change, Mapping):
        return
    for key, value in change.items():
        known = table.get(key)
        if key == "rules" or not isinstance(value, Mapping):
            continue
        here = f"{where}{key}" if where.endswith(".") else f"{where} {key}"
        if isinstance(known, (list, tuple)) and all(str(each).isdecimal() for each in value):
            raise PolicyError(f"{here} is a list, which is set whole: {here.split()[-1]}=[...]")
        _check_lists(known, value, f"{here}.")


def _split(key: Any, name: str) -> Iterator[str]:
    """Yield the parts of a dotted key; a part with a dot or a blank in it is quoted."""
    at, more = 0, True
    while more:
        found = _PART.match(key, at) if isinstance(key, str) else None
        if found is None:
            raise PolicyError(
                f"{name} {shown(key)}: wanted a dotted key, such as schedule.final_sparsity or "
                'rules.ID.prune; a part with a blank or a dot in it is quoted: rules."my id".prune'
            )
        yield next(part for part in found.groups() if part is not None)
        at, more = found.end(), bool(found[4])


def _override_rules(
    base: Merged, changes: Mapping[str, Any], name: str
) -> tuple[list[Any], dict[TablePath, Place]]:
    """Return the rules with changes, by id, and where each changed key is written."""
    rules = base.table.get("rules", [])
    rules = list(rules) if isinstance(rules, (list, tuple)) else []
    labels = {rule_id(rule) or str(number): number - 1 for number, rule in enumerate(rules, 1)}
    settings: dict[TablePath, Place] = {}
    for label, change in changes.items():
        if label not in labels:
            raise PolicyError(f"{name} rules: no rule {shown(label)}: {nearest(label, labels)}")
        if not isinstance(change, Mapping):
            raise PolicyError(f"{name} rules.{label:.80}: wanted a key of the rule to set, too")
        index = labels[label]
        _check_lists(rules[index], change, f"{name} rules.{label:.80}.")
        if not isinstance(rules[index], Mapping):
            continue  # which is an error of the file
        place: TablePath = ("rules", index)
        kept = _kept_below(change, rules[index], base.table)
        for path, _ in places(kept, name):
            above = place if path[0] in rules[index] else ()
            settings[*place, *path] = base.origins.place((*above, *path))
        for path, written in places(change, name, ("rules", label)):
            settings[*place, *path[2:]] = written
        others = {key: value for key, value in rules[index].items() if key not in change}
        rules[index] = deep_merge({**others, **kept}, change)
    return rules, settings


def _kept_below(
    change: Mapping[str, Any], rule: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the tables that a change of a rule is laid on, key by key; it replaces the others."""
    kept: dict[str, Any] = {}
    for key, value in change.items():
        below = rule.get(key, defaults.get(key) if key in COMPONENTS else None)
        if key in COMPONENTS and merge_component(below, value) is not None:
            kept[key] = {"kind": below} if isinstance(below, str) else below
        elif key not in COMPONENTS and isinstance(below, Mapping):
            kept[key] = below
    return kept


def vain(overrides: Overrides, rules: Sequence[Any]) -> Iterator[str]:
    """Yield a note for each default that is changed though every rule has a setting of its own.

    Args:
        overrides: The changes.
        rules: The rules of the changed policy.

    """
    changed = {next(_split(key, overrides.name)): key for key in overrides.values}
    pruning = [rule for rule in rules if rule.prune]
    for part in COMPONENTS:
        if part in changed and rules and all(getattr(rule, part) is not None for rule in pruning):
            yield (
                f"{overrides.name} {changed[part]:.80} changes nothing: every rule that prunes has "
                f"a {part} of its own. Change that one: rules.ID.{part}"
            )
