"""What the zeros are that a rule keeps, and whether they lie as its pattern says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from secateur.adapter import Binding, Weight, WeightSpec
from secateur.components.patterns import FixedPattern
from secateur.errors import ModelError, listed
from secateur.masks.zeros import ZerosFound, zeros_found
from secateur.run.plan import Plan
from secateur.run.planned import RuleWeights
from secateur.workers import Workers

_SHOWN = 5

Find = Callable[[RuleWeights, WeightSpec], ZerosFound]
"""Returns the zeros of a weight of a rule."""


class Remarks(NamedTuple):
    """What is said of the zeros that are kept.

    Attributes:
        now: What is true of them.
        later: What is wrong unless a saved state is loaded next.

    """

    now: tuple[str, ...] = ()
    later: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Every remark."""
        return self.now + self.later


def in_weights(weights: Mapping[str, Weight], workers: Workers) -> Find:
    """Return what finds the zeros of bound weights; all processes that shard them must call it."""
    return lambda rule, spec: zeros_found(rule.method, weights[spec.name], workers)


def check(plan: Plan, find: Find) -> Remarks:
    """Return the remarks on the zeros that rules keep.

    Args:
        plan: The plan.
        find: Finds the zeros of a weight.

    Raises:
        ModelError: The zeros of a weight do not lie as a pattern says that fixes the sparsity.

    """
    now: list[str] = []
    later: list[str] = []
    for rule in plan.rule_weights:
        if not rule.method.keeps_zeros:
            continue
        label = f"rule {plan.policy.rule_label(rule.rule)}"
        found = {spec.name: find(rule, spec) for spec in rule.specs}
        if not any(each.zeros for each in found.values()):
            later.append(
                f"{label} keeps zeros, and none of its weights has one, so that nothing is pruned: "
                "load the pruned weights before secateur.attach()"
            )
            continue
        if problem := _problem(rule, found):
            raise ModelError(f"{label} keeps zeros: {problem}; nothing was changed")
        now += [f"{label} keeps zeros: {note}" for note in _notes(rule, found)]
    return Remarks(tuple(now), tuple(later))


def with_notes(plan: Plan, binding: Binding) -> Plan:
    """Return a plan that says of the zeros it keeps what a run would, and how many they are.

    Of sharded weights it says nothing: one process alone may ask for a plan.

    Args:
        plan: The plan.
        binding: The bound model.

    """
    return replace(plan, policy_notes=(*plan.policy_notes, *_planned(plan, binding)))


def _planned(plan: Plan, binding: Binding) -> Iterator[str]:
    weights = {weight.spec.name: weight for weight in binding.weights}
    if any(weight.sharded for weight in weights.values()):
        return
    find = in_weights(weights, binding.workers)
    for rule in plan.rule_weights:
        if rule.method.keeps_zeros:
            found = {spec.name: find(rule, spec) for spec in rule.specs}
            zeros = sum(each.zeros for each in found.values())
            dense = [name for name, each in found.items() if not each.zeros]
            label, size = plan.policy.rule_label(rule.rule), sum(spec.size for spec in rule.specs)
            without = f"; without any: {listed(dense, _SHOWN)}" if dense and zeros else ""
            yield f"rule {label} keeps {zeros:,} zeros of {size:,} weights{without}"
    try:
        yield from check(plan, find).all
    except ModelError as error:
        yield str(error).removesuffix("; nothing was changed")


def _problem(rule: RuleWeights, found: Mapping[str, ZerosFound]) -> str | None:
    pattern = rule.method.pattern
    broken = {name: each for name, each in found.items() if each.broken}
    if not broken or not isinstance(pattern, FixedPattern):
        return None
    counts = [f"{name} ({e.broken:,} of {e.groups:,} sets)" for name, e in broken.items()]
    return (
        f"pattern {pattern.kind!r} does not hold, since sets have more values that are not zero "
        f"than it keeps: {listed(counts, _SHOWN)}. Match only weights that were pruned so, or set "
        'pattern = "unstructured" to keep the zeros as they are'
    )


def _notes(rule: RuleWeights, found: Mapping[str, ZerosFound]) -> Iterator[str]:
    kind = rule.method.pattern.kind
    broken = {name: each for name, each in found.items() if each.broken}
    if broken:
        counts = [f"{name} ({e.broken:,} of {e.groups:,})" for name, e in broken.items()]
        yield (
            f"pattern {kind!r} does not hold in groups that have zeros among other values, which "
            f"stay zero one by one: {listed(counts, _SHOWN)}"
        )
    if empty := [name for name, each in found.items() if each.size and each.zeros == each.size]:
        yield f"weights that are zero throughout stay so: {listed(empty, _SHOWN)}"
