"""Rules that never decide anything, whatever the model: earlier ones match all that they match."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise, product
from math import prod
from typing import Any

from secateur.kinds import kind_named
from secateur.policy.match import Globs, Match
from secateur.policy.rule import ResolvedRule

_MOST_PARTS = 64
"""Into how many parts a match is taken apart, to find each behind another rule."""
_MOST_COMPARED = 100_000
"""How many pairs of rules are compared; then each is only with those of the same match, and with
those that match everything."""

_ENDS: Mapping[Any, tuple[str, ...]] = {(0, 0): ("first",), (1, 1): ("last",)}
"""The layers that lie at the ends of the relative depth."""

Shadow = tuple[ResolvedRule, list[ResolvedRule]]
"""A rule, and the earlier rules that decide all that it matches."""


def shadowed(rules: Sequence[ResolvedRule]) -> Iterator[Shadow]:
    """Yield each rule that can decide no weight, and the earlier rules that decide them all.

    Args:
        rules: The rules of a policy, in order.

    """
    earlier: list[ResolvedRule] = []
    same: dict[str, ResolvedRule] = {}
    compared = 0
    for rule in rules:
        key = json.dumps(rule.match.normalized(), sort_keys=True)
        if key in same:
            yield rule, [same[key]]
            continue
        if compared > _MOST_COMPARED:
            earlier = [each for each in earlier if each.match == Match()]
        named = [each for each in earlier if _may_cover(each.match, rule.match)]
        parts = _parts(rule.match, named)
        compared += len(earlier) + len(parts) * len(named)
        behind = [_first_covering(part, named) for part in parts]
        if all(behind):
            found = {each.number: each for each in behind if each}
            yield rule, [found[number] for number in sorted(found)]
            continue
        same[key] = rule
        earlier.append(rule)


def _may_cover(wide: Match, narrow: Match) -> bool:
    """Return whether a match covers some of the names that another one has."""
    names = [(each,) for each in narrow.name] if isinstance(narrow.name, tuple) else [narrow.name]
    return any(_covers_names(wide.name, each) for each in names)


def _first_covering(match: Match, rules: Sequence[ResolvedRule]) -> ResolvedRule | None:
    return next((rule for rule in rules if covers(rule.match, match)), None)


def _parts(match: Match, earlier: Sequence[ResolvedRule]) -> list[Match]:
    """Return matches that together match what this one does, each small enough for one rule."""
    cuts = {**_alternatives(match), **_cuts(match, [rule.match for rule in earlier])}
    for choices in (cuts, _alternatives(match)):
        if 0 < prod(map(len, choices.values())) <= _MOST_PARTS:
            return [match.model_copy(update=_joined(one)) for one in product(*choices.values())]
    return [match]


def _joined(updates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {key: value for update in updates for key, value in update.items()}


def _alternatives(match: Match) -> dict[str, list[dict[str, Any]]]:
    """Return what a match names, one by one; a kind has certain roles and no others."""
    found = {
        key: [{key: (each,)} for each in getattr(match, key)]
        for key in ("role", "name", "position")
        if isinstance(getattr(match, key), tuple)
    }
    if match.kind is not None:
        found["role"] = [
            {"kind": (kind,), "role": (role,)}
            for kind in match.kind
            for role in kind_named(kind).roles
            if match.role is None or role in match.role
        ]
    return found


def _cuts(match: Match, earlier: Sequence[Match]) -> dict[str, list[dict[str, Any]]]:
    """Return the ranges of a match, cut where those of earlier rules begin and end."""
    found: dict[str, list[dict[str, Any]]] = {}
    if match.trainable is None and any(each.trainable is not None for each in earlier):
        found["trainable"] = [{"trainable": True}, {"trainable": False}]
    least, most = match.min_size or 0, match.max_size
    begins = {each.min_size for each in earlier if each.min_size is not None}
    begins |= {each.max_size + 1 for each in earlier if each.max_size is not None}
    inner = sorted(n for n in begins if n > least and (most is None or n <= most))
    if inner:
        ends = [*(n - 1 for n in inner), most]
        found["size"] = [
            {"min_size": first, "max_size": last}
            for first, last in zip([least, *inner], ends, strict=True)
        ]
    shallow, deep = match.depth or (0.0, 1.0)
    edges = {edge for each in earlier if each.depth for edge in each.depth}
    if between := sorted(edge for edge in edges if shallow < edge < deep):
        found["depth"] = [{"depth": part} for part in pairwise([shallow, *between, deep])]
    return found


def covers(wide: Match, narrow: Match) -> bool:
    """Return whether a match surely matches all that another one does.

    Args:
        wide: The match that may be the wider one.
        narrow: The other one.

    Example:
        >>> covers(Match(name="enc*"), Match(name="enc.0.*", kind="dense"))
        True
        >>> covers(Match(kind="dense"), Match(name="enc.0.*"))
        False

    """
    return (
        _is_within(narrow.kind, wide.kind)
        and _is_within(narrow.role, wide.role)
        and _is_within(narrow.position or _ENDS.get(narrow.depth), wide.position)
        and (wide.trainable is None or narrow.trainable is wide.trainable)
        and (not wide.min_size or (narrow.min_size or 0) >= wide.min_size)
        and _is_at_most(narrow.max_size, wide.max_size)
        and _is_in_range(narrow, wide)
        and _covers_names(wide.name, narrow.name)
    )


def _is_within(narrow: Sequence[str] | None, wide: Sequence[str] | None) -> bool:
    return wide is None or (narrow is not None and set(narrow) <= set(wide))


def _is_at_most(narrow: int | None, wide: int | None) -> bool:
    return wide is None or (narrow is not None and narrow <= wide)


def _is_in_range(narrow: Match, wide: Match) -> bool:
    if wide.depth is None or wide.depth == (0, 1):
        return True
    depth = (0, 0) if narrow.depth is None and narrow.position == ("first",) else narrow.depth
    return depth is not None and depth[0] >= wide.depth[0] and depth[1] <= wide.depth[1]


def _covers_names(wide: Any, narrow: Any) -> bool:
    if wide is None or wide == narrow:
        return True
    if narrow is None or (isinstance(wide, dict) and not isinstance(narrow, dict)):
        return bool(wide == ("*",))
    if isinstance(narrow, dict):
        return all(
            _covers_globs(wide.get(adapter, ()) if isinstance(wide, dict) else wide, globs)
            for adapter, globs in narrow.items()
        )
    return _covers_globs(wide, narrow)


def _covers_globs(wide: Globs, narrow: Globs) -> bool:
    return all(any(_covers_glob(one, other) for one in wide) for other in narrow)


def _covers_glob(wide: str, narrow: str) -> bool:
    """Return whether a glob surely matches all that another one does.

    A glob whose only wildcards are stars matches all that another glob does when it matches the
    text of that glob: each wildcard of it then lies within a star.
    """
    if wide in ("*", narrow):
        return True
    if "?" in wide or "[" in wide or "[" in narrow:
        return False
    return fnmatchcase(narrow, wide)
