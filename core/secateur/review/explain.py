"""Why a weight is pruned as it is: the rule that decides it, and where each setting is from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel

from secateur.adapter import Binding, WeightSpec
from secateur.errors import ModelError, PolicyError, listed, shown
from secateur.hooks.dispatch import bind
from secateur.policy.origins import TablePath
from secateur.policy.policy import Policy, PolicyLike, as_policy
from secateur.policy.reading.lines import Written
from secateur.policy.reading.merging import COMPONENTS
from secateur.policy.rule import ResolvedRule
from secateur.review.explanation import ExplainedWeight, Explanation, RuleVerdict, Setting
from secateur.run.matching import Matching, match_rules
from secateur.run.plan import Plan
from secateur.run.resolve import resolve
from secateur.run.rule_problems import nearest_name

MOST_WEIGHTS = 8
"""How many weights one call explains."""
_DEFAULT = Written(None, None)


def explain(
    model: Any, policy: PolicyLike, weight: str, *, total_steps: int | None = None
) -> Explanation:
    """Explain what a policy does to a weight: which rule decides, and where it is written.

    Args:
        model: A model that `secateur.plan` takes.
        policy: A Policy, a path, a mapping, or the name of a ready policy.
        weight: The name of a weight or of its layer, or a glob, as in a rule's ``match``.
        total_steps: The number of optimizer updates of the run; without it, schedules keep their
            percentages.

    Returns:
        The explanation of the weight, or of the first eight that the glob matches.

    Raises:
        PolicyError: The policy is not valid.
        ModelError: The model cannot be bound, or has no such weight.

    Example:
        >>> import numpy as np
        >>> found = explain({"fc": np.ones((2, 4)), "out": np.ones((2, 2))}, "cnn-80", "out")
        >>> found.weights[0].rule.id, found.weights[0].settings[0].value
        ('ends', False)

    """
    return explain_bound(as_policy(policy), bind(model), weight, total_steps)


def explain_bound(
    policy: Policy, binding: Binding, weight: str, total_steps: int | None = None
) -> Explanation:
    """Explain what a policy does to a weight of a bound model.

    Args:
        policy: The policy.
        binding: The bound model.
        weight: As in `explain`.
        total_steps: As in `explain`.

    """
    errors: list[PolicyError] = []
    plan = resolve(policy, binding, total_steps, errors.append)
    found = match_rules(policy.resolved_rules, binding)
    indices = sorted(found.candidates.names.find(weight))
    if not indices:
        raise _unknown(weight, found.specs, binding)
    return Explanation(
        policy=policy,
        adapter=binding.adapter,
        weights=tuple(_explained(plan, found, index) for index in indices[:MOST_WEIGHTS]),
        others=tuple(found.specs[index].name for index in indices[MOST_WEIGHTS:]),
        notes=(*map(str, errors), *plan.notes),
    )


_OF_LIVE_MODELS = ("position", "depth", "trainable")
"""What only a model knows of its weights, and not a file."""


def _is_of(name: str, weight: str) -> bool:
    """Return whether a layer or parameter is what was asked for, a part of it, or fits a glob."""
    asked = weight.removesuffix(":kernel")
    return name.startswith(f"{asked}.") or fnmatchcase(name, asked)


def _unknown(weight: str, specs: Sequence[WeightSpec], binding: Binding) -> ModelError:
    if dense := [each for each in binding.skipped if _is_of(each.name, weight)]:
        which = "" if dense[0].name == weight else f"{listed((each.name for each in dense), 3)}: "
        return ModelError(
            f"{shown(weight)} is left dense, whatever a policy says: {which}{dense[0].reason}"
        )
    guess = nearest_name(weight, specs)
    hint = f"did you mean {shown(guess)}? There are" if guess else "there are"
    names = listed((spec.name for spec in specs), 8)
    return ModelError(f"no weight of this {binding.adapter} model is {shown(weight)}: {hint}: "
                      f"{names}")  # fmt: skip


def _explained(plan: Plan, found: Matching, index: int) -> ExplainedWeight:
    planned = plan.weights[index]
    rules = plan.policy.resolved_rules
    verdicts = tuple(_verdict(plan, found, rule, index) for rule in rules)
    deciding = None if planned.rule is None else verdicts[planned.rule - 1]
    settings = [] if deciding is None else list(_settings(plan, deciding.number))
    return ExplainedWeight(planned, deciding, tuple(settings), verdicts)


def _verdict(plan: Plan, found: Matching, rule: ResolvedRule, index: int) -> RuleVerdict:
    spec, written = found.specs[index], plan.policy.written_at(("rules", rule.number - 1))
    if index in found.matches[rule.number]:
        decides = found.deciding[index] == rule.number
        return RuleVerdict(rule.number, rule.id, written, True, decides, ())
    unmet = rule.match.unmet(found.candidates, plan.adapter, index)
    if (asks := found.unanswered.get(rule.number)) is not None:
        unmet = [each for each in unmet if each not in _OF_LIVE_MODELS]
        if not unmet:
            return RuleVerdict(rule.number, rule.id, written, False, False, (), asks)
    scale = max(1, found.candidates.last)
    depths = ", ".join(f"{each / scale:.2f}" for each in found.candidates.positions[index])
    words = {
        "kind": f"kind is {spec.kind}",
        "role": f"role is {spec.role}",
        "name": "another name",
        "min_size": f"smaller than {rule.match.min_size}",
        "max_size": f"larger than {rule.match.max_size}",
        "trainable": "trained" if spec.trainable else "frozen",
        "position": f"neither first nor last (depth {depths})"
        if len(rule.match.position or ()) > 1
        else f"not {(rule.match.position or ('',))[0]} (depth {depths})",
        "depth": f"depth is {depths}",
    }
    why = tuple(words[condition] for condition in unmet)
    return RuleVerdict(rule.number, rule.id, written, False, False, why)


def _settings(plan: Plan, number: int) -> Iterator[Setting]:
    """Yield every setting of the rule that decides, and where it is from."""
    policy = plan.policy
    place: TablePath = ("rules", number - 1)
    rule = policy.rules[number - 1] if policy.rules else None
    if rule is not None and not rule.prune:
        yield Setting("prune", False, *_source(policy, (*place, "prune")))
        return
    method = next(each.method for each in plan.rule_weights if each.rule == number)
    for family in COMPONENTS:
        own = getattr(rule, family, None)
        common = getattr(policy, family) if family in policy.model_fields_set else None
        path = (*place, family) if own is not None else (family,)
        part = getattr(method, family)
        given = own if own is not None else common
        kind = _source(policy, (*path, "kind")) if given is not None else ("default", _DEFAULT)
        yield Setting(family, part.kind, *kind)
        yield from _of_part(policy, part, given, family, path)


def _of_part(
    policy: Policy, part: BaseModel, given: BaseModel | None, name: str, path: TablePath
) -> Iterator[Setting]:
    """Yield the settings of a component, by the keys that the policy file gives of it."""
    written = given.model_fields_set if given is not None else set()
    for field, info in type(part).model_fields.items():
        key, value = info.alias or field, getattr(part, field)
        if isinstance(value, BaseModel):
            inner = getattr(given, field, None) if given is not None else None
            yield from _of_part(policy, value, inner, f"{name}.{key}", (*path, key))
        elif field in written:
            yield Setting(f"{name}.{key}", value, *_source(policy, (*path, key)))
        elif value is not None or key == "frequency":  # which the length of the run decides then
            yield Setting(f"{name}.{key}", value, "default", _DEFAULT)


def _source(policy: Policy, path: TablePath) -> tuple[str, Written]:
    written = policy.written_at(path)
    if written.file is None:
        return "code", written
    if written.line is None:
        return "override", written
    return ("file" if written.file == policy.source else "base"), written
