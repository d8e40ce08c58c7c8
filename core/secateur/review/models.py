"""A policy on models: rules that do not fit, and weights that are treated as nobody means."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from secateur.adapter import Binding, WeightSpec
from secateur.arrays.counts import keep_count
from secateur.components.method import Method
from secateur.components.patterns import NM, Block, Channel, FixedPattern, grid_of, plane
from secateur.errors import PolicyError, listed
from secateur.policy.policy import Policy
from secateur.review.findings import PROBLEM, WARNING, Level
from secateur.review.remarks import Remark, named, path_of
from secateur.review.shadows import Shadow
from secateur.run.matching import Matching, match_rules
from secateur.run.plan import Plan
from secateur.run.resolve import resolve
from secateur.run.rule_problems import trainable_notes
from secateur.selection.component_errors import attributed

_FEW = 3
"""How many weights a remark names."""


@dataclass(frozen=True)
class ModelReview:
    """A policy on one model.

    Attributes:
        name: What the model is called.
        plan: The plan.
        found: Which weights each rule matches.
        ordered: Whether the order of the layers is known.
        notes: Notes on conditions that the model cannot answer, each with its rule's number.

    """

    name: str
    plan: Plan
    found: Matching
    ordered: bool
    notes: Sequence[tuple[int, str]]


def review(policy: Policy, name: str, binding: Binding, total_steps: int | None) -> ModelReview:
    """Plan a policy on a model, whatever does not fit.

    Args:
        policy: The policy.
        name: What the model is called.
        binding: The bound model.
        total_steps: The length of the run, if it is known.

    Raises:
        ModelError: The model has nothing to prune.

    """
    errors: list[PolicyError] = []
    plan = resolve(policy, binding, total_steps, errors.append)
    rules = policy.resolved_rules
    notes = tuple(
        (rule.number, note.removeprefix(f"{rule}, "))
        for rule in rules
        for note in trainable_notes([rule], binding)
    )
    return ModelReview(name, plan, match_rules(rules, binding), binding.ordered, notes)


def model_remarks(
    policy: Policy,
    reviews: Sequence[ModelReview],
    shadows: Sequence[Shadow],
    is_partial: bool = False,
) -> Iterator[Remark]:
    """Yield what is to be said of a policy on all of some models.

    Args:
        policy: The policy.
        reviews: The policy on each of them.
        shadows: The rules that never decide anything.
        is_partial: Whether parts of it were left out, which were faulty.

    """
    rules = policy.resolved_rules
    for each in reviews:
        for number, error in each.found.errors:
            text = str(error).removeprefix(str(rules[number - 1])).lstrip(", ")
            yield Remark(PROBLEM, _path(policy, number), f"{each.name}: {text}", rules[number - 1])
        for number, note in each.notes:
            rule, path = rules[number - 1], (*_path(policy, number), "match")
            yield Remark(WARNING, path, f"{each.name}: {note}", rule)
        if not is_partial:
            yield from _uncovered(each)
        for weights in each.plan.rule_weights:
            rule = rules[weights.rule - 1]
            for level, family, text in _of_weights(weights.method, weights.specs, each):
                path = path_of(policy, rule, family) if family else _path(policy, rule.number)
                yield Remark(level, path, f"{each.name}: {text}", rule)
    if reviews:
        yield from _undecided(policy, reviews, {rule.number for rule, _ in shadows})


def _path(policy: Policy, number: int) -> tuple[str | int, ...]:
    return ("rules", number - 1) if policy.rules else ()


def _undecided(
    policy: Policy, reviews: Sequence[ModelReview], known: Collection[int]
) -> Iterator[Remark]:
    """Yield rules that decide no weight of any model, or of some of them only."""
    for rule in policy.resolved_rules:
        number = rule.number
        path = _path(policy, number)
        matching = [each for each in reviews if each.found.matches[number]]
        if number in known or (rule.required and len(matching) < len(reviews)):
            continue  # which is said already
        if not matching:
            yield Remark(WARNING, path, "matches no weight of any model, and need not", rule)
        elif not any(number in each.found.deciding.values() for each in matching):
            first = matching[0]
            earlier = {first.found.deciding[index] for index in first.found.matches[number]}
            others = named(policy, (policy.resolved_rules[each - 1] for each in sorted(earlier)))
            text = f"decides no weight of {listed((m.name for m in matching), 3)}: {others} comes "
            yield Remark(PROBLEM, path, f"{text}first, and decides all that it matches", rule)
        elif len(matching) < len(reviews):
            without = listed((each.name for each in reviews if each not in matching), 3)
            yield Remark(WARNING, path, f"matches no weight of {without}", rule)


def _uncovered(each: ModelReview) -> Iterator[Remark]:
    bare = [planned.spec for planned in each.plan.weights if planned.rule is None]
    if bare and each.plan.size:
        share = sum(spec.size for spec in bare) / each.plan.size
        text = f"{each.name}: no rule matches {_names(bare)}, which are {share:.0%} of the weights "
        text += "and stay dense; a last rule with prune = false says so, if it is meant"
        yield Remark(WARNING, ("rules",), text)


def _of_weights(
    method: Method, specs: Sequence[WeightSpec], each: ModelReview
) -> Iterator[tuple[Level, str, str]]:
    frozen = [spec for spec in specs if not spec.trainable]
    if frozen:
        text = f"prunes frozen weights, which training cannot adapt: {_names(frozen)}"
        yield WARNING, "", text
    for level, problem, spec_list in _of_pattern(method, specs, each):
        yield level, "pattern", f"{problem}: {_names(spec_list)}"
    targets = {planned.spec.name: planned.target for planned in each.plan.weights}
    emptied, untouched = [], []
    for spec in specs:
        target = targets[spec.name]
        if target is None or not 0 < target < 1 or isinstance(method.pattern, FixedPattern):
            continue
        with attributed(method.pattern):
            groups = prod(grid_of(method.pattern.checked_extent(spec), spec.shape))
        kept = keep_count(groups, target)
        emptied += [spec] * (kept == 0)
        untouched += [spec] * (kept == groups)
    if emptied:
        yield PROBLEM, "", f"prunes all there is of {_names(emptied)}"
    if untouched:
        yield WARNING, "", f"prunes nothing, in groups as few as these have: {_names(untouched)}"


def _of_pattern(
    method: Method, specs: Sequence[WeightSpec], each: ModelReview
) -> Iterator[tuple[Level, str, list[WeightSpec]]]:
    found: dict[tuple[Level, str], list[WeightSpec]] = {}
    for spec in specs:
        for level, problem in _of_shape(method.pattern, spec, each):
            found.setdefault((level, problem), []).append(spec)
    for (level, problem), some in found.items():
        yield level, problem, some


def _of_shape(pattern: Any, spec: WeightSpec, each: ModelReview) -> Iterator[tuple[Level, str]]:
    sizes = dict(zip(("out", "in"), (spec.shape[axis] for axis in plane(spec)), strict=True))
    if isinstance(pattern, NM):
        if sizes["in"] <= pattern.keep:
            yield PROBLEM, f"in = {sizes['in']}: {pattern.keep} of {pattern.of} prunes nothing"
        elif sizes["in"] % pattern.of:
            yield WARNING, f"in = {sizes['in']} is no multiple of {pattern.of}, so sets are short"
    if isinstance(pattern, Block):
        for name, length in (("out", pattern.out), ("in", pattern.in_)):
            if length > sizes[name]:
                yield WARNING, f"{name} = {sizes[name]}: smaller than a block of {length}"
            elif sizes[name] % length:
                yield WARNING, f"{name} = {sizes[name]} is no multiple of {length}"
    if isinstance(pattern, Channel) and each.ordered:
        layers = [planned.spec.layer for planned in each.plan.weights]
        end = {"out": layers[-1], "in": layers[0]}[pattern.axis]
        if spec.layer == end:
            what = "outputs" if pattern.axis == "out" else "inputs"
            yield WARNING, f"prunes whole {what} of the model"


def _names(specs: Sequence[WeightSpec]) -> str:
    return listed((spec.name for spec in specs), _FEW)
