"""A policy resolved on one model: what will happen to each weight, before anything does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from secateur.adapter import Binding, Skipped, WeightSpec
from secateur.arrays.counts import keep_count
from secateur.components.method import Method
from secateur.errors import ModelError, PolicyError
from secateur.policy.policy import Policy
from secateur.selection.component_errors import attributed
from secateur.tables import render, share


@dataclass(frozen=True)
class PlannedWeight:
    """One weight, the rule that decides it (counted from 1), and where that leads.

    `target` is the final sparsity; None where the scores will decide it, within a rule that
    ranks weights against each other.  `rule` is None for a weight that no rule matches.
    """

    spec: WeightSpec
    rule: int | None
    pruned: bool
    target: float | None


@dataclass(frozen=True)
class RuleWeights:
    """The weights that one rule prunes, in model order: they are selected together."""

    rule: int
    method: Method
    specs: tuple[WeightSpec, ...]


@dataclass(frozen=True)
class Plan:
    """The outcome of a policy on one model, weight by weight; prints as a table.

    `rule_weights` holds the weights that will be pruned, rule by rule; `skipped` the layers that
    the adapter leaves dense, and why.
    """

    policy: Policy
    adapter: str
    weights: tuple[PlannedWeight, ...]
    skipped: tuple[Skipped, ...]
    rule_weights: tuple[RuleWeights, ...]

    @property
    def kept(self) -> int:
        """How many prunable weights stay in the end.

        Counted in single weights: blocks and channels at the edge of a weight may differ by
        their size.
        """
        pruned = {planned.spec.name: planned for planned in self.weights if planned.pruned}
        total = sum(planned.spec.size for planned in self.weights if not planned.pruned)
        for rule in self.rule_weights:
            targets = [pruned[spec.name].target for spec in rule.specs]
            if None in targets:
                total += keep_count(sum(spec.size for spec in rule.specs), rule.method.final)
            else:
                total += sum(
                    keep_count(spec.size, target or 0)
                    for spec, target in zip(rule.specs, targets, strict=True)
                )
        return total

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain values, for JSON."""
        return {
            "policy": self.policy.name,
            "fingerprint": self.policy.fingerprint,
            "adapter": self.adapter,
            "weights": [
                {
                    "name": planned.spec.name,
                    "kind": planned.spec.kind,
                    "role": planned.spec.role,
                    "shape": list(planned.spec.shape),
                    "rule": planned.rule,
                    "pruned": planned.pruned,
                    "target": planned.target,
                }
                for planned in self.weights
            ],
            "skipped": [{"name": each.name, "reason": each.reason} for each in self.skipped],
        }

    def __str__(self) -> str:
        head = ("weight", "kind", "shape", "size", "rule", "pattern", "schedule", "target")
        text = render(head, [self._row(planned) for planned in self.weights], right=(3, 7))
        if self.skipped:
            text += "\n\nleft dense:" + "".join(
                f"\n  {skipped.name}: {skipped.reason}" for skipped in self.skipped
            )
        name = f"{self.policy.name} " if self.policy.name else ""
        return f"{text}\n\npolicy {name}{self.policy.fingerprint[:12]}, adapter {self.adapter}"

    def _row(self, planned: PlannedWeight) -> tuple[str, ...]:
        spec = planned.spec
        shape = "x".join(map(str, spec.shape))
        rule = "none" if planned.rule is None else str(planned.rule)
        row = (spec.name, spec.kind, shape, f"{spec.size:,}", rule)
        method = planned.rule and self.policy.resolved_rules[planned.rule - 1].method
        if not method:
            return (*row, "", "", "dense")
        by = f"by {method.distribution.kind}"
        target = by if planned.target is None else share(planned.target)
        return (*row, method.pattern.kind, method.schedule.kind, target)


def resolve(policy: Policy, binding: Binding, total_steps: int | None = None) -> Plan:
    """Decide every weight of a bound model by the first rule that matches it.

    total_steps: the length of the run in optimizer updates; without it, schedules keep
    their percentages.
    Raises ModelError for a model with nothing to prune or with two weights of one name, and
    PolicyError for a rule that matches nothing.
    """
    specs = [weight.spec for weight in binding.weights]
    if not specs:
        found = "; ".join(f"{skipped.name}: {skipped.reason}" for skipped in binding.skipped[:8])
        raise ModelError(
            f"this {binding.adapter} model has no weight that can be pruned"
            + (f" (left dense: {found})" if found else "")
        )
    _refuse_equal_names(specs, binding.adapter)
    rules = _first_matches(policy, specs, binding.adapter)
    chosen_weights = []
    targets: dict[str, float | None] = {}
    for rule in policy.resolved_rules:
        chosen = tuple(spec for spec in specs if rules[spec.name] == rule.number)
        if rule.method and chosen:
            method = _on_steps(rule.method, total_steps)
            chosen_weights.append(RuleWeights(rule.number, method, chosen))
            targets |= _targets(method, chosen)
    planned = tuple(
        PlannedWeight(spec, rules[spec.name], spec.name in targets, targets.get(spec.name, 0.0))
        for spec in specs
    )
    return Plan(policy, binding.adapter, planned, tuple(binding.skipped), tuple(chosen_weights))


def _refuse_equal_names(specs: Sequence[WeightSpec], adapter: str) -> None:
    (name, times), *_ = Counter(spec.name for spec in specs).most_common(1)
    if times > 1:
        raise ModelError(
            f"the {adapter} adapter gives {times} weights the name {name}, so some of them "
            "would be forgotten. Rename a layer; and report it, for names must be unique."
        )


def _first_matches(
    policy: Policy, specs: Sequence[WeightSpec], adapter: str
) -> dict[str, int | None]:
    layers = list(dict.fromkeys(spec.layer for spec in specs))
    matched: dict[int, list[str]] = {
        rule.number: [s.name for s in specs if rule.match.matches(s, layers, adapter)]
        for rule in policy.resolved_rules
    }
    for rule in policy.resolved_rules:
        if rule.required and not matched[rule.number]:
            have = ", ".join(f"{s.name} ({s.kind}, {'x'.join(map(str, s.shape))})" for s in specs)
            raise PolicyError(
                f"{rule}, match = {rule.match.normalised()}, matches no weight of "
                f"this {adapter} model. There are: {have}. Correct the rule, or set "
                "required = false."
            )
    return {
        spec.name: next((n for n, names in matched.items() if spec.name in names), None)
        for spec in specs
    }


def _on_steps(method: Method, total_steps: int | None) -> Method:
    if total_steps is None:
        return method
    return replace(method, schedule=method.schedule.with_total_steps(total_steps))


def _targets(method: Method, specs: Sequence[WeightSpec]) -> dict[str, float | None]:
    """Return where each weight will end, None where the scores will tell."""
    if method.pattern.fixed_sparsity is not None:
        return {spec.name: method.final for spec in specs}
    with attributed(method.distribution, 0, [spec.name for spec in specs]):
        targets = method.distribution.targets(specs, method.final)
    if targets is None:
        return {spec.name: None for spec in specs}
    return {spec.name: float(t) for spec, t in zip(specs, targets, strict=True)}
