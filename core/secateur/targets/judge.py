"""A bound model beside a target: which weights it takes, and what their zeros are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secateur.adapter import Binding, Weight, WeightSpec
from secateur.errors import ModelError, listed
from secateur.hooks.dispatch import bind
from secateur.layout import Array
from secateur.masks.compute import compute
from secateur.policy.policy import PolicyLike, as_policy
from secateur.run.checks.needs import check_one_shot
from secateur.run.resolve import resolve
from secateur.targets.eligible import CONVOLUTIONS, why_not
from secateur.targets.load import load
from secateur.targets.report import DENSE, MET, NO, UNMET, TargetReport, TargetWeight
from secateur.targets.suggest import suggest
from secateur.targets.target import Target, Use
from secateur.targets.zeros import Zeros, count_zeros

_ACCIDENTAL = 0.01
"""Up to this sparsity a weight counts as dense: padding rows and the like are no pruning."""
Nonzero = Callable[[Weight], Array]
Done = Callable[[WeightSpec], object]


def target(name: str, model: Any, policy: PolicyLike | None = None) -> TargetReport:
    """Return what a runtime or hardware does with the zeros of a model; changes nothing.

    Args:
        name: The name of a target, such as ``ethos-u85``; `secateur target` lists them.  Or the
            path of a target's data file.
        model: A model that `plan` takes.
        policy: Judge the zeros that this policy would set by one-shot pruning, instead of those
            that are there.

    Returns:
        Weight by weight what is eligible, why not, and a policy to copy that is.

    Raises:
        TargetError: There is no such target, or its file is not valid.
        ModelError: The model cannot be bound, has nothing to prune, or is sharded.
        PolicyError: The policy is not valid, or does not fit the model.

    Example:
        >>> import numpy as np
        >>> report = target("tensorrt", {"fc": np.ones((8, 16), "f"), "odd": np.ones((8, 15), "f")})
        >>> [(weight.spec.name, weight.eligible) for weight in report.weights]
        [('fc', True), ('odd', False)]

    """
    chosen = load(name)
    return judge(chosen, bind(model), policy)


def judge(
    target: Target,
    binding: Binding,
    policy: PolicyLike | None = None,
    done: Done = lambda spec: None,
) -> TargetReport:
    """Return what a target does with the zeros of a bound model.

    Args:
        target: The target.
        binding: The model.
        policy: Judge the zeros that this policy would set, instead of those that are there.
        done: Called for each weight that was looked at, for a progress bar.

    Raises:
        ModelError: It has nothing to prune, or is sharded.
        PolicyError: The policy does not fit the model.

    """
    if not binding.weights:
        raise ModelError(f"this {binding.adapter} model has no weight that can be pruned")
    if sharded := [weight.spec.name for weight in binding.weights if weight.sharded]:
        raise ModelError(
            f"sharded over processes: {listed(sharded, 8)}; judge a checkpoint of the whole model"
        )
    nonzero = _as_it_is if policy is None else _under(as_policy(policy), binding)
    looks = []
    for weight in binding.weights:
        looks.append(_look(target, weight, nonzero))
        done(weight.spec)
    together = {use.id: _problem_together(use, looks) for use in target.uses}
    weights = tuple(_judge_weight(target, look, together) for look in looks)
    return TargetReport(
        target=target,
        adapter=binding.adapter,
        weights=weights,
        policy=suggest(target, weights, binding),
        judged="zeros of the model" if policy is None else "zeros that the policy would set",
        notes=tuple(_notes(target, weights)),
    )


def _as_it_is(weight: Weight) -> Array:
    nonzero: Array = weight.read() != 0
    return nonzero


def _under(policy: Any, binding: Binding) -> Nonzero:
    """Return where weights would not be zero after one-shot pruning; the model stays as it is."""
    weights = {weight.spec.name: weight for weight in binding.weights}
    masks: dict[str, Array] = {}
    planned = resolve(policy, binding)
    check_one_shot(planned)
    for rule in planned.rule_weights:
        members = [weights[spec.name] for spec in rule.specs]
        masks |= compute(rule.method, members, rule.method.final)

    def nonzero(weight: Weight) -> Array:
        name = weight.spec.name
        return _as_it_is(weight) & masks[name] if name in masks else _as_it_is(weight)

    return nonzero


@dataclass(frozen=True)
class _Look:
    """What was seen of one weight: why uses do not take it, and how its zeros lie for the rest."""

    spec: WeightSpec
    zeros: int
    reasons: Mapping[str, tuple[str, ...]]
    counted: Mapping[str, Zeros]


def _look(target: Target, weight: Weight, nonzero: Nonzero) -> _Look:
    spec, marked = weight.spec, nonzero(weight)
    reasons = {use.id: why_not(use, spec) for use in target.uses}
    counted = {use.id: count_zeros(use, spec, marked) for use in target.uses if not reasons[use.id]}
    return _Look(spec, marked.size - int(np.count_nonzero(marked)), reasons, counted)


def _judge_weight(target: Target, look: _Look, together: Mapping[str, str | None]) -> TargetWeight:
    spec, reasons, zeros = look.spec, look.reasons, look.zeros
    eligible = [use for use in target.uses if use.id in look.counted]
    if not eligible:
        return TargetWeight(spec, None, reasons, zeros, NO)
    if zeros <= _ACCIDENTAL * spec.size:
        return TargetWeight(spec, eligible[0], reasons, zeros, DENSE)
    problems = {use.id: together[use.id] or _problem(use, look.counted[use.id]) for use in eligible}
    best = eligible[0]
    why = problems[best.id] and f"{best.id}: {problems[best.id]}"
    for use in eligible:
        if problems[use.id] is None:
            return TargetWeight(spec, use, reasons, zeros, MET, why)
    return TargetWeight(spec, best, reasons, zeros, UNMET, why)


def _problem(use: Use, zeros: Zeros) -> str | None:
    """Return why the zeros of a weight are not as a use needs them; None if they are."""
    if zeros.broken:
        return f"{zeros.broken:,} of {zeros.sets:,} sets are not {use.pattern_words}"
    wanted = use.sparsity
    if wanted and not wanted.over_all and not wanted.meets(zeros.useful, zeros.size):
        where = "" if zeros.useful == zeros.zeros else f" in whole {use.pattern_words} blocks"
        return f"sparsity {zeros.useful / zeros.size:.4f}{where}, wanted {wanted}"
    return None


def _problem_together(use: Use, looks: Sequence[_Look]) -> str | None:
    """Return why the zeros of all eligible weights together are too few, where these count."""
    counted = [look.counted[use.id] for look in looks if use.id in look.counted]
    if not (use.sparsity and use.sparsity.over_all and counted):
        return None
    zeros, size = sum(each.useful for each in counted), sum(each.size for each in counted)
    if use.sparsity.meets(zeros, size):
        return None
    return f"sparsity {zeros / size:.4f}, wanted {use.sparsity}"


def _notes(target: Target, weights: Sequence[TargetWeight]) -> Iterator[str]:
    """Yield what the target's file notes, and what the weights do not show."""
    yield from (note.says for note in target.notes)
    used = {weight.use.id for weight in weights if weight.use}
    needs = [need for use in target.uses if use.id in used for need in use.needs]
    unseen = dict.fromkeys(need.unseen for need in needs if need.unseen)
    yield from (f"weights do not show this, check it: {each}" for each in unseen)
    if grouped := [weight.spec.name for weight in weights if _may_be_grouped(weight)]:
        yield f"grouped convolutions are not taken; these may be: {listed(grouped, 8)}"
    if wasted := [each.spec.name for each in weights if each.status == NO and each.zeros]:
        yield f"{target.name} makes no use of the zeros of: {listed(wasted, 8)}"
    if tied := [each.spec.name for each in weights if each.use and each.spec.alias_layers]:
        yield f"tied weights, pruned in every layer that has them: {listed(tied, 8)}"


def _may_be_grouped(weight: TargetWeight) -> bool:
    spec, use = weight.spec, weight.use
    if use is None or spec.kind not in CONVOLUTIONS or spec.groups is not None:
        return False
    return any(need.groups for need in use.needs)
