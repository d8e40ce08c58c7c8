"""One table of several: a policy on top of what it extends, and where each part is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from secateur.errors import PolicyError
from secateur.policy.origins import Origins, Place, TablePath
from secateur.policy.reading.lines import written_at

COMPONENTS = ("schedule", "criterion", "pattern", "distribution")
"""The keys whose tables are merged key by key."""
_NO_CHANGE = ("name", "version")
"""Keys that make no other policy of what a file extends."""


@dataclass(frozen=True)
class Merged:
    """A policy's table merged over the files that it extends, with the origin of each part.

    Attributes:
        table: The table.
        origins: Where its parts are written.
        misspelt: A note for each id that is nearly one of the base, and the place of its rule.

    """

    table: dict[str, Any]
    origins: Origins
    misspelt: tuple[tuple[Place, str], ...] = ()


def own_layer(
    table: Mapping[str, Any], origins: Origins, refuse: Callable[[PolicyError], None]
) -> Merged:
    """Return what one file holds, without what it extends.

    Args:
        table: The table of the file.
        origins: The file's name, path and text.
        refuse: Called with an error for each id that two rules have.

    """
    own = {key: value for key, value in table.items() if key != "extends"}
    rules = own.get("rules", ())
    numbers = range(len(rules)) if isinstance(rules, (list, tuple)) else ()
    _refuse_double_ids(rules, origins, refuse)
    settings = dict(places(own, origins.name))
    written = [Place(origins.name, ("rules", number)) for number in numbers]
    return Merged(own, replace(origins, settings=settings, rules=written))


def places(
    table: Mapping[str, Any], file: str, above: TablePath = ()
) -> Iterator[tuple[TablePath, Place]]:
    """Yield where each key of a table is written, those of tables in it included.

    The name alone of a component is its kind.
    """
    for key, value in table.items():
        path = (*above, str(key))
        yield path, Place(file, path)
        if isinstance(value, Mapping):
            yield from places(value, file, path)
        elif key in COMPONENTS and isinstance(value, str):
            yield (*path, "kind"), Place(file, path)


def _refuse_double_ids(rules: Any, origins: Origins, refuse: Callable[[PolicyError], None]) -> None:
    first: dict[str, int] = {}
    for number, rule in enumerate(rules if isinstance(rules, (list, tuple)) else (), 1):
        known = rule_id(rule)
        if known is not None and first.setdefault(known, number) != number:
            line = written_at(origins, ("rules", number - 1, "id")).line
            words = f"{known!r:.80} is the id of rule {first[known]} too"
            words += f" (line {line})" if line else ""
            refuse(PolicyError(f"{origins.name}: rule {number}, id: {words}"))


def rule_id(rule: Any) -> str | None:
    """Return the id of a rule, if it has one; of a table that is no rule, None."""
    known = rule.get("id") if isinstance(rule, Mapping) else getattr(rule, "id", None)
    return known if isinstance(known, str) else None


def merge(base: Merged, over: Merged, extended: Collection[str]) -> Merged:
    """Return `base` with `over` on top of it.

    Later wins key by key, within a component of the same kind, too.  A rule with the `id` of one
    in the base replaces it; other new rules go before the base's, since the first that matches
    decides.  `plugins` add up.  Unless nothing changes, the base's name goes.

    Args:
        base: What was merged so far.
        over: What one more file holds.
        extended: The names of the files that this one extends.

    """
    table, settings = merge_tables(base, over.table, over.origins.settings)
    origins = replace(
        over.origins,
        settings=settings,
        files=over.origins.files + base.origins.files,
        texts={**base.origins.texts, **over.origins.texts},
    )
    old, new = base.table.get("rules", []), over.table.get("rules", [])
    misspelt = base.misspelt
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        rules, written, notes = _merge_rules(base, over, extended)
        misspelt += notes
        if rules:
            table["rules"] = rules
        origins = replace(origins, rules=written)
    elif "rules" not in over.table:
        origins = replace(origins, rules=base.origins.rules)
    needed = [each.table.get("plugins", []) for each in (base, over)]
    if all(isinstance(names, (list, tuple)) for names in needed) and any(needed):
        table["plugins"] = [name for names in needed for name in names]
    return Merged(renamed(base.table, table, "name" in over.table), origins, misspelt)


def renamed(base: Mapping[str, Any], table: dict[str, Any], is_named: bool) -> dict[str, Any]:
    """Return a table without the name of its base, if it is another policy without a name."""
    plain = [{k: v for k, v in each.items() if k not in _NO_CHANGE} for each in (base, table)]
    if is_named or plain[0] == plain[1]:
        return table
    return {key: value for key, value in table.items() if key != "name"}


def merge_tables(
    base: Merged, over: Mapping[str, Any], written: Mapping[TablePath, Place]
) -> tuple[dict[str, Any], dict[TablePath, Place]]:
    """Return the keys of two tables, and where each is written; rules are those of one of them.

    Args:
        base: What was merged so far.
        over: The keys on top.
        written: Where these are written.

    """
    table, replaced = dict(base.table), set()
    for key, value in over.items():
        both = merge_component(base.table.get(key), value) if key in COMPONENTS else None
        if both is None:
            replaced.add(key)
        table[key] = value if both is None else both
    kept = {path: place for path, place in base.origins.settings.items() if path[0] not in replaced}
    return table, {**kept, **written}


def merge_component(base: Any, over: Any) -> dict[str, Any] | None:
    """Return the table of a component with the keys of another on top of it.

    Returns:
        The table; None where the other replaces it whole: it has another kind, or is no table.

    Example:
        >>> merge_component({"kind": "linear", "end_step": 9}, {"end_step": 10})
        {'kind': 'linear', 'end_step': 10}
        >>> merge_component({"kind": "linear"}, {"kind": "cosine"}) is None
        True

    """
    below = {"kind": base} if isinstance(base, str) else base
    if not isinstance(below, Mapping) or not isinstance(over, Mapping):
        return None
    if over.get("kind", below.get("kind")) != below.get("kind"):
        return None
    return deep_merge(below, over)


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with the keys of another on top, those of tables in it included."""
    table = dict(base)
    for key, value in over.items():
        below = table.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        table[key] = deep_merge(below, value) if both else value  # type: ignore[arg-type]
    return table


def _merge_rules(
    base: Merged, over: Merged, extended: Collection[str]
) -> tuple[list[Any], list[Place], tuple[tuple[Place, str], ...]]:
    old, new = base.table.get("rules", []), over.table.get("rules", [])
    known = {rule_id(rule) for rule in old} - {None}
    written = list(zip(new, over.origins.rules, strict=True))
    replacing = {rule_id(rule): (rule, place) for rule, place in written if rule_id(rule) in known}
    added = [(rule, place) for rule, place in written if rule_id(rule) not in known]
    left = {
        each: place.file
        for rule, place in zip(old, base.origins.rules, strict=True)
        if (each := rule_id(rule)) and each not in replacing and place.file in extended
    }
    rules = [
        *added,
        *(
            replacing.get(rule_id(rule), (rule, place))
            for rule, place in zip(old, base.origins.rules, strict=True)
        ),
    ]
    notes = tuple(_misspelt_ids(added, left))
    return [rule for rule, _ in rules], [place for _, place in rules], notes


def _misspelt_ids(
    added: list[tuple[Any, Place]], replaceable: Mapping[str, str]
) -> Iterator[tuple[Place, str]]:
    """Yield a note for each new rule whose id is nearly that of one in the base.

    Args:
        added: The new rules, and where they are written.
        replaceable: The ids of the base that no rule replaces, and the file of each.

    """
    plain = {known.casefold(): known for known in sorted(replaceable)}
    for rule, place in added:
        mine = (rule_id(rule) or "").casefold()
        close = get_close_matches(mine[:80], plain, n=1, cutoff=0.7)
        if close and not _differ_in_digits(mine, close[0]):
            meant, number = plain[close[0]], place.path[1]
            note = (
                f"{place.file}: rule {int(number) + 1} is new: {replaceable[meant]} has no rule "
                f"with the id {rule_id(rule)!r:.80}, but one with the id {meant!r:.80}. Was that "
                "rule meant? A rule replaces another one by the same id."
            )
            yield place, note


def _differ_in_digits(one: str, two: str) -> bool:
    """Return whether two words differ in numbers alone, as ``conv1`` and ``conv2``."""
    return one != two and re.sub(r"\d+", "0", one) == re.sub(r"\d+", "0", two)
