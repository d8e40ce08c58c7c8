"""What is wrong with the weights of a model, alone and together, and what is said besides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from secateur.adapter.native_names import named_natively
from secateur.arrays.counts import keep_count
from secateur.errors import listed, shown
from secateur.run.plan import Plan
from secateur.run.planned import RuleWeights
from secateur.verification.asked import due_rules, kept_of_each
from secateur.verification.judge import Look, problems, rule_problem
from secateur.verification.outcome import VerifiedWeight
from secateur.verification.proofs import Proof

_MOST_NAMES = 8


def rules_problems(
    plan: Plan,
    looks: Mapping[str, Look],
    targets: Mapping[int, float | None],
    extra: float | None,
    finds_any: Callable[[RuleWeights, float], bool],
) -> Iterator[str]:
    """Yield what is wrong with the weights of a rule together, where scores decide among them.

    Args:
        plan: The plan.
        looks: What each weight holds.
        targets: What each rule asks for.
        extra: As in `problems`.
        finds_any: Whether a rule whose weights have no zeros would prune any of them now.

    """
    for rule, target in due_rules(plan, targets):
        held = [looks[spec.name] for spec in rule.specs]
        if rule.by_values:
            is_proven = all(mask.problem is None for each in held for mask in each.masks)
            is_proven = is_proven and all(each.masks for each in held)
            has_zeros = any(each.values.zeros for each in held)
            if not has_zeros and not is_proven and finds_any(rule, target):
                label = plan.policy.rule_label(rule.rule)
                yield f"rule {label} prunes {rule.method.decided_by}: no weight has a zero"
            continue
        counted = {each.spec.name: each for each in held if each.is_counted}
        totals = [each.groups.total for each in counted.values() if each.groups]
        if len(counted) < len(held) or kept_of_each(rule, totals, target) is not None:
            continue
        asked = sum(totals) - keep_count(sum(totals), target)
        label = plan.policy.rule_label(rule.rule)
        if problem := rule_problem(label, counted, asked, extra):
            yield problem
        for source, masks in _masks_of(counted.values()).items():
            if problem := rule_problem(label, masks, asked, 0.0):
                yield f"the masks of {source}: {problem}"


def _masks_of(held: Iterable[Look]) -> dict[str, dict[str, Look]]:
    """Return what masks hold, by their source and weight, where there is one for each weight."""
    looks = list(held)
    found: dict[str, dict[str, Look]] = {}
    for each in looks:
        for mask in each.masks:
            if mask.mask is not None:
                found.setdefault(mask.source, {})[each.spec.name] = mask.mask
    return {source: masks for source, masks in found.items() if len(masks) == len(looks)}


def weights_found(
    plan: Plan, looks: Mapping[str, Look], asked: Mapping[str, int | None], extra: float | None
) -> Iterator[VerifiedWeight]:
    by_values = {rule.rule: rule.method.decided_by for rule in plan.rule_weights if rule.by_values}
    for planned in plan.weights:
        name = planned.spec.name
        held = looks[name]
        groups = held.groups if held.is_counted else None
        yield VerifiedWeight(
            name,
            planned.rule,
            planned.spec.size,
            held.values.zeros,
            held.unit,
            groups.total if groups else planned.spec.size,
            asked[name],
            groups.zero if groups else held.values.zeros,
            held.values.negative_zeros,
            held.values.not_finite,
            max((mask.kept_zeros for mask in held.masks), default=None),
            tuple(problems(held, asked[name], extra)),
            by_values.get(planned.rule or 0, VerifiedWeight.by),
        )


def proof_problems(proofs: Sequence[Proof], plan: Plan) -> Iterator[str]:
    known = {alias for p in plan.weights for alias in (p.spec.name, *p.spec.aliases)}
    for proof in proofs:
        if proof.fingerprint not in (None, plan.policy.fingerprint):
            yield (
                f"{proof.source} is of policy {shown(str(proof.fingerprint)[:12])}, and this is "
                f"{plan.policy.fingerprint[:12]}"
            )
        strange = [n for n in proof.masks if n not in known and not named_natively(n, known)]
        if strange:
            yield f"{proof.source} has masks of no weight here: {listed(strange, _MOST_NAMES)}"


def notes_on(looks: Mapping[str, Look]) -> Iterator[str]:
    negative = {n: e.values.negative_zeros for n, e in looks.items() if e.values.negative_zeros}
    if negative:
        yield (
            f"{sum(negative.values()):,} zeros are -0.0, and pruning writes +0.0: "
            f"{listed(negative, _MOST_NAMES)}"
        )
    lost = [n for n, e in looks.items() if e.values.not_finite and e.method is None]
    if lost:
        yield f"NaN or infinite values in weights that are not pruned: {listed(lost, _MOST_NAMES)}"
    dense = {n: e.values.zeros for n, e in looks.items() if e.method is None and e.values.zeros}
    if dense:
        yield (
            f"{sum(dense.values()):,} zeros in weights that stay dense: "
            f"{listed(dense, _MOST_NAMES)}"
        )
    kept = {n: max(m.kept_zeros for m in e.masks) for n, e in looks.items() if e.masks}
    if total := sum(kept.values()):
        which = listed([name for name, zeros in kept.items() if zeros], _MOST_NAMES)
        yield f"{total:,} values that the masks keep are zero all the same: {which}"
