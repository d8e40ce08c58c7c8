"""Rules that are legal, and surely or probably meant otherwise, whatever the model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from secateur.components.method import Method
from secateur.components.patterns import Block
from secateur.kinds import kind_named
from secateur.policy.policy import Policy
from secateur.policy.reading.merging import COMPONENTS
from secateur.policy.rule import ResolvedRule
from secateur.review.findings import PROBLEM, WARNING
from secateur.review.remarks import Remark, named, path_of
from secateur.review.shadows import Shadow

_REGEX = re.compile(r"\\[.dws]|\.\+|\(.*\||\[\^|^\^|\$$|\|")
"""What stands in regular expressions, and means nothing in a glob."""
_NEVER_PRUNED = re.compile(r"(?:^|[.:/])(?:bias|gamma|beta|running_mean|running_var)$")


def rule_remarks(
    policy: Policy, shadows: Sequence[Shadow], is_partial: bool = False
) -> Iterator[Remark]:
    """Yield what is to be said of the rules of a policy.

    Args:
        policy: The policy.
        shadows: The rules that never decide anything.
        is_partial: Whether parts of it were left out, which were faulty.

    """
    yield from _shadows(policy, shadows)
    if not is_partial:
        yield from _unused_defaults(policy)
    for rule in policy.resolved_rules:
        yield from _of_match(rule)
        if rule.method is None:
            yield from _in_vain(policy, rule)
        else:
            yield from _of_method(policy, rule, rule.method)
    yield from _ranked_apart(policy)
    missing = sorted({*policy.to_dict().get("plugins", ())} - {*policy.plugins})
    if missing:
        text = f"parts of it come from {', '.join(missing)}: add plugins = {missing}".replace(
            "'", '"'
        )
        yield Remark(WARNING, ("plugins",), f"{text}, so that others are told what to install")


def _shadows(policy: Policy, shadows: Sequence[Shadow]) -> Iterator[Remark]:
    for rule, others in shadows:
        path = ("rules", rule.number - 1)
        files = {policy.written_at(("rules", each.number - 1)).file for each in others}
        elsewhere = policy.written_at(path).file not in files
        where = ", ".join(_with_line(policy, each) for each in others[:3])
        text = f"decides no weight: all that it matches, {where} decides before"
        replaces_nothing = policy.source in files and rule.id is not None
        if elsewhere and replaces_nothing:
            text += f"; to replace it, give that rule the id {rule.id!r}"
        level = WARNING if elsewhere and rule.id is None else PROBLEM
        yield Remark(level, path, text, rule)


def _with_line(policy: Policy, rule: ResolvedRule) -> str:
    written = policy.written_at(("rules", rule.number - 1))
    words = named(policy, [rule])
    return words if written.line is None or rule.id is None else f"{words} ({written})"


def _unused_defaults(policy: Policy) -> Iterator[Remark]:
    pruning = [rule for rule in policy.rules if rule.prune]
    if policy.rules and not pruning:
        yield Remark(WARNING, ("rules",), "no rule prunes, so every weight stays dense")
        return
    for part in COMPONENTS:
        given = part in policy.model_fields_set and getattr(policy, part) is not None
        if given and policy.rules and all(getattr(rule, part) is not None for rule in pruning):
            text = f"every rule that prunes has a {part} of its own, so this one is never used"
            yield Remark(WARNING, (part,), text)


def _of_match(rule: ResolvedRule) -> Iterator[Remark]:
    match, path = rule.match, ("rules", rule.number - 1, "match")
    if match.kind and match.role:
        known = {role for kind in match.kind for role in kind_named(kind).roles}
        if known.isdisjoint(match.role):
            text = f"a weight of kind {' or '.join(match.kind)} has the role "
            text += f"{' or '.join(sorted(known))}, never {' or '.join(match.role)}"
            yield Remark(PROBLEM, (*path, "role"), text, rule)
    for key in ("kind", "role", "name", "position"):
        if getattr(match, key) == ():
            yield Remark(PROBLEM, (*path, key), f"{key} = [] matches nothing", rule)
    if match.max_size == 0:
        yield Remark(PROBLEM, (*path, "max_size"), "max_size = 0 matches empty weights only", rule)
    globs = match.name if isinstance(match.name, tuple) else ()
    if isinstance(match.name, dict):
        globs = tuple(glob for each in match.name.values() for glob in each)
    for glob in globs:
        if problem := _of_glob(glob):
            yield Remark(WARNING, (*path, "name"), problem, rule)


def _of_glob(glob: str) -> str | None:
    shown = repr(glob[:80])
    if glob != glob.strip():
        return f"the glob {shown} begins or ends with a blank, which no name does"
    if _REGEX.search(glob):
        return f"{shown} looks like a regular expression; a glob has *, ? and [...] alone"
    if "," in glob:
        return f"{shown} holds a comma; several globs are a list"
    if _NEVER_PRUNED.search(glob):
        return f"{shown}: biases and normalization are never pruned, so it matches nothing"
    return None


def _in_vain(policy: Policy, rule: ResolvedRule) -> Iterator[Remark]:
    for part in COMPONENTS if policy.rules else ():
        if getattr(policy.rules[rule.number - 1], part) is not None:
            text = f"a {part} beside prune = false has no effect"
            yield Remark(WARNING, ("rules", rule.number - 1, part), text, rule)


def _of_method(policy: Policy, rule: ResolvedRule, method: Method) -> Iterator[Remark]:
    pattern = method.pattern
    if isinstance(pattern, Block) and pattern.out == pattern.in_ == 1:
        text = "a block of 1 x 1 is single weights; give it an out or an in"
        yield Remark(PROBLEM, path_of(policy, rule, "pattern"), text, rule)
    own = policy.rules[rule.number - 1].distribution if policy.rules else policy.distribution
    if method.fixed_sparsity is not None and own is not None and own.kind != "uniform":
        text = f"distribution {own.kind!r} has no effect: the pattern fixes the sparsity"
        yield Remark(WARNING, path_of(policy, rule, "distribution"), text, rule)


def _ranked_apart(policy: Policy) -> Iterator[Remark]:
    """Yield rules of one method whose weights are ranked within each rule only."""
    alike: dict[Any, list[ResolvedRule]] = {}
    for rule in policy.resolved_rules:
        if rule.method and getattr(rule.method.distribution, "compares_weights", False):
            alike.setdefault(repr(rule.method), []).append(rule)
    for rules in alike.values():
        method = rules[0].method
        if len(rules) > 1 and method is not None:
            text = f"{named(policy, rules)} each rank their own weights, not all together; one "
            text += f"rule that matches all of them is one {method.distribution.kind} ranking"
            yield Remark(WARNING, path_of(policy, rules[0], "distribution"), text)
