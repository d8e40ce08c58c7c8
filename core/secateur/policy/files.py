"""Policies as files: read with all that they extend, and written."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from secateur.errors import PolicyError, PolicyWarning
from secateur.files import write_atomically
from secateur.policy.formats import format_table, parse
from secateur.policy.limits import check_table
from secateur.policy.origins import IN_CODE, Origins
from secateur.policy.sources import PolicySource, locate

MAX_CHAIN = 16
"""How many files may extend one another."""


@dataclass(frozen=True)
class Merged:
    """A policy's table merged over the files that it extends, with the origin of each part."""

    table: dict[str, Any]
    origins: Origins


def read(reference: str) -> Merged:
    """Read a policy file, or a ready policy, with everything that it extends.

    Args:
        reference: A path, ``package:NAME/folder/file.toml``, or the name of a ready policy.

    Raises:
        PolicyError: A file is missing or not well formed, or files extend one another in a
            circle.

    """
    return _read(locate(reference), ())


def _read(source: PolicySource, chain: tuple[PolicySource, ...]) -> Merged:
    if source.key in [each.key for each in chain] or len(chain) >= MAX_CHAIN:
        names = " -> ".join(each.name for each in (*chain, source))
        cycle = len(chain) < MAX_CHAIN
        problem = "extends itself" if cycle else f"extends more than {MAX_CHAIN} files"
        raise PolicyError(f"{chain[0].name} {problem}: {names}")
    table = parse(source.read(), source.suffix, source.name)
    return extend(table, source.name, (*chain, source))


def extend(
    table: Mapping[str, Any], name: str = IN_CODE, chain: tuple[PolicySource, ...] = ()
) -> Merged:
    """Return a table merged over what it extends.

    Args:
        table: The table of a policy.
        name: What errors call it.
        chain: The files that led here; the last one is the table's own.

    """
    check_table(table, name)
    own = dict(table)
    base = own.pop("extends", None)
    rules = own.get("rules", ())
    numbers = range(1, len(rules) + 1) if isinstance(rules, (list, tuple)) else ()
    _refuse_double_ids(rules, name)
    keys = {str(key): name for key in own}
    files = tuple(path for path in (chain[-1].path,) if path) if chain else ()
    merged = Merged(own, Origins(name, keys, [(name, number) for number in numbers], files))
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
    known = rule.get("id") if isinstance(rule, Mapping) else getattr(rule, "id", None)
    return known if isinstance(known, str) else None


def merge(base: Merged, over: Merged) -> Merged:
    """Return `base` with `over` on top of it.

    Later wins key by key.  A rule with the `id` of one in the base replaces it; other new rules
    go before the base's, since the first that matches decides.  `plugins` add up.
    """
    table = {**base.table, **over.table}
    keys = {**base.origins.keys, **over.origins.keys}
    files = over.origins.files + base.origins.files
    old, new = base.table.get("rules", []), over.table.get("rules", [])
    if not isinstance(old, (list, tuple)) or not isinstance(new, (list, tuple)):
        origins = (over if "rules" in over.table else base).origins.rules
        return Merged(table, Origins(over.origins.name, keys, origins, files))
    known = {_id(rule) for rule in old} - {None}
    written = list(zip(new, over.origins.rules, strict=True))
    replacing = {_id(rule): (rule, origin) for rule, origin in written if _id(rule) in known}
    added = [(rule, origin) for rule, origin in written if _id(rule) not in known]
    rules = [
        *added,
        *(
            replacing.get(_id(rule), (rule, origin))
            for rule, origin in zip(old, base.origins.rules, strict=True)
        ),
    ]
    _warn_of_misspelt_ids(added, {each for each in known - {*replacing} if each}, base)
    if rules:
        table["rules"] = [rule for rule, _ in rules]
    needed = [each.table.get("plugins", []) for each in (base, over)]
    if all(isinstance(names, (list, tuple)) for names in needed) and any(needed):
        table["plugins"] = [name for names in needed for name in names]
    return Merged(table, Origins(over.origins.name, keys, [origin for _, origin in rules], files))


def _warn_of_misspelt_ids(
    added: list[tuple[Any, tuple[str, int]]], replaceable: set[str], base: Merged
) -> None:
    """Warn of a new rule whose id is nearly that of one in the base, which it leaves alone."""
    plain = {known.casefold(): known for known in sorted(replaceable)}
    for rule, (file, number) in added:
        mine = (_id(rule) or "").casefold()
        close = get_close_matches(mine[:80], plain, n=1, cutoff=0.7)
        if close and not _differ_in_digits(mine, close[0]):
            warnings.warn(
                f"{file}: rule {number} is new: {base.origins.name} has no rule with the id "
                f"{_id(rule)!r:.80}, but one with the id {plain[close[0]]!r:.80}. Was that rule "
                "meant? A rule replaces another one by the same id.",
                PolicyWarning,
                stacklevel=2,
            )


def _differ_in_digits(one: str, two: str) -> bool:
    """Return whether two words differ in numbers alone, as ``conv1`` and ``conv2``."""
    return one != two and re.sub(r"\d+", "0", one) == re.sub(r"\d+", "0", two)


def write(table: Mapping[str, Any], path: Path) -> None:
    """Write a table in the format that the file's suffix names."""
    write_atomically(path, format_table(table, path.suffix, str(path)).encode())
