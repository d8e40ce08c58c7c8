"""Policies as files: read with all that they extend, and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur.errors import PolicyError
from secateur.files import write_atomically
from secateur.policy.formats import format_table, parse
from secateur.policy.sources import Source, locate

DEEPEST = 16
"""How many files may extend one another."""


@dataclass(frozen=True)
class Merged:
    """A policy's table with all that it extends laid under it, and where each part stood.

    `keys` tells the file of each key, `rules` the file of each rule and its number there.
    """

    name: str
    table: dict[str, Any]
    keys: Mapping[str, str]
    rules: Sequence[tuple[str, int]]


def read(reference: str) -> Merged:
    """Read a policy file, or a ready policy, with everything that it extends.

    Raises PolicyError for a file that is missing or not well formed, and for a cycle.
    """
    return _read(locate(reference), ())


def _read(source: Source, chain: tuple[Source, ...]) -> Merged:
    if source.key in [each.key for each in chain] or len(chain) >= DEEPEST:
        names = " -> ".join(each.name for each in (*chain, source))
        cycle = len(chain) < DEEPEST
        fault = "extends itself" if cycle else f"extends more than {DEEPEST} files"
        raise PolicyError(f"{chain[0].name} {fault}: {names}")
    table = parse(source.read(), source.suffix, source.name)
    return extend(table, source.name, (*chain, source))


def extend(table: Mapping[str, Any], name: str, chain: tuple[Source, ...] = ()) -> Merged:
    """Return a table laid on what it extends; the last of `chain` is its own file."""
    own = dict(table)
    base = own.pop("extends", None)
    rules = own.get("rules", ())
    numbers = range(1, len(rules) + 1) if isinstance(rules, (list, tuple)) else ()
    _refuse_double_ids(rules, name)
    merged = Merged(name, own, dict.fromkeys(own, name), [(name, number) for number in numbers])
    if base is None:
        return merged
    if not isinstance(base, str):
        raise PolicyError(f"{name}: extends = {base!r:.80}: wanted the path of a policy file")
    try:
        source = locate(base, chain[-1] if chain else None)
    except PolicyError as error:
        raise PolicyError(f"{name}: extends: {error}") from error
    return merge(_read(source, chain), merged)


def _refuse_double_ids(rules: Any, name: str) -> None:
    first: dict[str, int] = {}
    for number, rule in enumerate(rules if isinstance(rules, (list, tuple)) else (), 1):
        known = _id(rule)
        if known is not None and first.setdefault(known, number) != number:
            raise PolicyError(
                f"{name}: rule {number}, id: {known!r:.80} is the id of rule {first[known]} too"
            )


def _id(rule: Any) -> str | None:
    known = rule.get("id") if isinstance(rule, Mapping) else None
    return known if isinstance(known, str) else None


def merge(base: Merged, over: Merged) -> Merged:
    """Return `base` with `over` laid on it.

    Later wins key by key.  A rule with the `id` of one in the base takes its place; other
    new rules go before the base's, since the first that matches decides.  `plugins` add up.
    """
    table = {**base.table, **over.table}
    keys = {**base.keys, **over.keys}
    theirs, ours = base.table.get("rules", []), over.table.get("rules", [])
    if not isinstance(theirs, list) or not isinstance(ours, list):
        return Merged(over.name, table, keys, (over if "rules" in over.table else base).rules)
    known = {_id(rule) for rule in theirs} - {None}
    mine = list(zip(ours, over.rules, strict=True))
    replacing = {_id(rule): (rule, place) for rule, place in mine if _id(rule) in known}
    rules = [
        *((rule, place) for rule, place in mine if _id(rule) not in known),
        *(
            replacing.get(_id(rule), (rule, place))
            for rule, place in zip(theirs, base.rules, strict=True)
        ),
    ]
    if rules:
        table["rules"] = [rule for rule, _ in rules]
    needed = [each.table.get("plugins", []) for each in (base, over)]
    if all(isinstance(names, list) for names in needed) and any(needed):
        table["plugins"] = [name for names in needed for name in names]
    return Merged(over.name, table, keys, [place for _, place in rules])


def write(table: Mapping[str, Any], path: Path) -> None:
    """Write a table in the format that the file's ending names."""
    write_atomically(path, format_table(table, path.suffix, str(path)).encode())
