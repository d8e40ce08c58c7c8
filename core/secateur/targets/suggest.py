"""A policy to copy: what a target can use of one model is pruned, everything else stays dense."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from glob import escape
from typing import Any

from secateur.adapter import Binding
from secateur.components.patterns import NM, Unstructured
from secateur.errors import PolicyError
from secateur.policy.formats import to_toml
from secateur.policy.globs import MAX_GLOBS
from secateur.policy.policy import Policy
from secateur.run.plan import Plan
from secateur.run.resolve import resolve
from secateur.targets.report import TargetWeight
from secateur.targets.target import Target, Use

_GRADUAL = {"kind": "polynomial", "begin_step": "10%", "end_step": "75%", "frequency": 100}
_WIDTH = 80
Choice = str | None
"""The id of the use that decides a weight; None keeps it dense."""


def suggest(target: Target, weights: Sequence[TargetWeight], binding: Binding) -> str | None:
    """Return the text of a policy file whose zeros a target uses in a model, tried on it.

    Args:
        target: The target.
        weights: The weights of the model beside it.
        binding: The model, on which the policy is tried.

    Returns:
        TOML; None if the target uses zeros of no weight, or no policy can name the weights.

    """
    wanted = {weight.spec.name: _best(target, weight) for weight in weights}
    if not any(wanted.values()):
        return None
    kinds = {weight.spec.name: weight.spec.kind for weight in weights}
    for rules in (_by_kind(target, wanted, kinds), _by_name(target, wanted)):
        text = _text(target, {"version": 1, "name": f"for-{target.name}", "rules": rules})
        try:
            plan = resolve(Policy.parse(tomllib.loads(text)), binding)
        except (PolicyError, tomllib.TOMLDecodeError):  # a name that no policy can hold
            continue
        if _decides(plan, wanted, target):
            return text
    return None


def _best(target: Target, weight: TargetWeight) -> Choice:
    """Return the best use that takes a weight, or the first one of equal pattern and sparsity."""
    taking = next((use for use in target.uses if not weight.reasons[use.id]), None)
    if taking is None:
        return None
    same = (
        each for each in target.uses if (each.pattern, each.final) == (taking.pattern, taking.final)
    )
    return next(same).id


def _by_kind(
    target: Target, wanted: dict[str, Choice], kinds: dict[str, str]
) -> list[dict[str, Any]]:
    """Return rules by kind, with rules by name before them for weights unlike most of theirs."""
    usual: dict[str, Choice] = {}
    for kind in dict.fromkeys(kinds.values()):
        count = Counter(choice for name, choice in wanted.items() if kinds[name] == kind)
        usual[kind] = count.most_common(1)[0][0]
    unlike = {name: choice for name, choice in wanted.items() if choice != usual[kinds[name]]}
    return [
        *_named_rules(target, unlike),
        *(
            {"match": {"kind": matched}, **_method(use)}
            for use in target.uses
            if (matched := [kind for kind, choice in usual.items() if choice == use.id])
        ),
    ]


def _named_rules(target: Target, choices: dict[str, Choice]) -> Iterator[dict[str, Any]]:
    for choice in dict.fromkeys(choices.values()):
        names = [escape(name) for name, other in choices.items() if other == choice]
        method = _method(target.use(choice)) if choice else {"prune": False}
        for first in range(0, len(names), MAX_GLOBS):
            yield {"match": {"name": names[first : first + MAX_GLOBS]}, **method}


def _by_name(target: Target, wanted: dict[str, Choice]) -> list[dict[str, Any]]:
    """Return a rule for each weight, the longest name first: a name also matches its roles."""
    longest_first = sorted(wanted, key=len, reverse=True)
    return [rule for name in longest_first for rule in _named_rules(target, {name: wanted[name]})]


def _method(use: Use) -> dict[str, Any]:
    if isinstance(use.pattern, NM):
        schedule: dict[str, Any] = {"kind": "one_shot", "final_sparsity": use.final}
        return {"pattern": use.pattern.to_dict(), "schedule": schedule}
    schedule = {"kind": _GRADUAL["kind"], "final_sparsity": use.final}
    schedule |= {key: value for key, value in _GRADUAL.items() if key != "kind"}
    if isinstance(use.pattern, Unstructured):
        return {"schedule": schedule}
    return {"pattern": use.pattern.to_dict(), "schedule": schedule}


def _decides(plan: Plan, wanted: dict[str, Choice], target: Target) -> bool:
    """Return whether a plan prunes each weight for the use that is wanted, and no other weight."""
    rules = plan.policy.resolved_rules
    for planned in plan.weights:
        choice = wanted[planned.spec.name]
        method = planned.rule and rules[planned.rule - 1].method
        if not method:
            if choice:
                return False
        elif choice is None or method.pattern != target.use(choice).pattern:
            return False
    return True


def _text(target: Target, table: dict[str, Any]) -> str:
    """Return the table as TOML of short lines."""
    lines = [f"# What {target.name} uses of this model, and nothing else."]
    if any("%" in str(rule) for rule in table["rules"]):
        lines.append("# Its steps are shares of the run: pass total_steps= to attach().")
    lines.append(to_toml({key: value for key, value in table.items() if key != "rules"}))
    for rule in table["rules"]:
        lines.append("[[rules]]")
        if rule.get("prune") is False:
            lines.append("prune = false")
        for key in ("match", "pattern", "schedule"):
            if key in rule:
                lines += [f"[rules.{key}]", *map(_line, rule[key].items())]
        lines.append("")
    return "\n".join(lines)


def _line(setting: tuple[str, Any]) -> str:
    """Return a setting on one line, or a list that is too long for it on several."""
    key, value = setting
    line = to_toml({key: value}).rstrip("\n")
    if len(line) <= _WIDTH or not isinstance(value, list):
        return line
    inside = [f"  {to_toml({'': item}).partition(' = ')[2].rstrip()}," for item in value]
    return "\n".join([f"{key} = [", *inside, "]"])
