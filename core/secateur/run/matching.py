"""Which weights of a bound model each rule matches, and which rule decides each weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secateur.adapter import Binding, WeightSpec
from secateur.errors import ModelError, PolicyError
from secateur.policy.match import Candidates
from secateur.policy.rule import ResolvedRule
from secateur.run.rule_problems import unmatched_error, unordered_error


@dataclass(frozen=True)
class Matching:
    """The rules of a policy on the weights of a model.

    Attributes:
        specs: The weights, in the order of the model.
        candidates: The same, laid out for rules to find theirs.
        matches: The indices of the weights that each rule matches, by the rule's number.
        deciding: The number of the rule that decides each weight, by its index.
        errors: What does not fit, and the number of its rule: rules that match nothing, or ask
            what a file does not say.
        unanswered: By the number of a rule that cannot be answered on a file, what it asks.

    """

    specs: Sequence[WeightSpec]
    candidates: Candidates
    matches: Mapping[int, Sequence[int]]
    deciding: Mapping[int, int]
    errors: Sequence[tuple[int, PolicyError]]
    unanswered: Mapping[int, str]


def match_rules(rules: Sequence[ResolvedRule], binding: Binding) -> Matching:
    """Find the weights of each rule.

    Args:
        rules: The rules of a policy.
        binding: The bound model.

    Raises:
        ModelError: The model has nothing to prune, or two weights of one name.

    """
    specs = [weight.spec for weight in binding.weights]
    _refuse_without_weights(binding)
    _refuse_equal_names(specs, binding.adapter)
    layers = dict.fromkeys([*(binding.layers or ()), *(spec.layer for spec in specs)])
    candidates = Candidates(specs, list(layers))
    matches: dict[int, list[int]] = {}
    unordered, unmatched, unanswered = [], [], {}
    for rule in rules:
        if not binding.ordered and (unknown := rule.match.needs_live_model()):
            unordered.append((rule.number, unordered_error(rule, unknown)))
            matches[rule.number], unanswered[rule.number] = [], unknown
            continue
        matches[rule.number] = rule.match.select(candidates, binding.adapter)
        if rule.required and not matches[rule.number]:
            unmatched.append((rule.number, unmatched_error(rule, specs, binding.adapter)))
    deciding: dict[int, int] = {}
    for number, indices in matches.items():
        for index in indices:
            deciding.setdefault(index, number)
    errors = [*unordered, *unmatched]
    return Matching(specs, candidates, matches, deciding, errors, unanswered)


def _refuse_without_weights(binding: Binding) -> None:
    if not binding.weights:
        skipped = "; ".join(f"{each.name}: {each.reason}" for each in binding.skipped[:8])
        raise ModelError(
            f"this {binding.adapter} model has no weight that can be pruned"
            + (f" (left dense: {skipped})" if skipped else "")
        )


def _refuse_equal_names(specs: Sequence[WeightSpec], adapter: str) -> None:
    (name, times), *_ = Counter(spec.name for spec in specs).most_common(1)
    if times > 1:
        raise ModelError(
            f"the {adapter} adapter gives {times} weights the name {name}, so some of them "
            "would be forgotten. If a plugin's secateur_layer_weights describes this layer, give "
            "each of its weights a role of its own; a kind of the plugin (secateur.Kind) may "
            "bring new roles. Otherwise two layers have one name: rename one."
        )
