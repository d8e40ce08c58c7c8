"""`secateur.verify`: does a model, or the file that ships, obey a policy?"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from secateur.adapter import Binding, Checkpoint, Weight, WeightSpec
from secateur.adapter.native_names import named_natively
from secateur.arrays.counts import keep_count
from secateur.checkpoints.bind import CheckpointBinding
from secateur.checkpoints.infer_kinds import Kinds
from secateur.components.method import Method
from secateur.components.values import whole
from secateur.errors import ModelError, PolicyError, StateError, listed, shown
from secateur.hooks.dispatch import bind
from secateur.layout import Array
from secateur.policy.policy import PolicyLike, as_policy
from secateur.run.plan import Plan, RuleWeights
from secateur.run.resolve import on_steps, resolve
from secateur.shipping.model_files import read_model_file
from secateur.verification.asked import kept_of_each, target_at
from secateur.verification.counted import count
from secateur.verification.judge import Look, compare, look, problems, rule_problem
from secateur.verification.outcome import Verification, VerifiedWeight
from secateur.verification.proofs import MasksLike, Proof, masks_proof, state_proof
from secateur.version import __version__

Done = Callable[[WeightSpec], object]
_MOST_NAMES = 8


@dataclass(frozen=True)
class Question:
    """What a model is verified against.

    Attributes:
        policy: The policy.
        at: The step; None for the step of the state or, without one, the final sparsity.
        masks: Masks that prove the zeros.
        state: A saved state, which proves them and knows its step.
        total_steps: The length of the run, for percentages.
        extra_zeros: The fraction of a weight that may be zero beyond what is asked.

    """

    policy: PolicyLike
    at: int | None = None
    masks: MasksLike | None = None
    state: MasksLike | None = None
    total_steps: int | None = None
    extra_zeros: float | None = None


def verify(
    model: Any,
    policy: PolicyLike,
    *,
    at: int | None = None,
    masks: MasksLike | None = None,
    state: MasksLike | None = None,
    total_steps: int | None = None,
    extra_zeros: float | None = None,
    kinds: Kinds = (),
) -> Verification:
    """Return whether a model, or the file that ships, obeys a policy; changes nothing.

    Each weight must have as many zeros as its rule, pattern and distribution ask, and the weights
    that stay dense none.  More zeros are wrong, too, unless masks prove that they are none of
    pruning.  Without masks, zeros by nature are told from pruning by their number: where groups
    are counted by magnitude none may be extra, for what is zero by nature is pruned first;
    elsewhere up to 1 % of a weight.

    Args:
        model: The path of a model's file, or a model that `secateur.plan` takes.
        policy: A Policy, a path, a mapping, or the name of a ready policy.
        at: The number of optimizer updates finished; without it, and without `state`, the end of
            every schedule.
        masks: What proves the zeros bit for bit: a file of ``secateur prune --masks`` or of
            `Pruner.save`, an .npz of bool arrays, or masks by name, such as `Report.masks`.
        state: A saved state: its masks prove the zeros, at its step.
        total_steps: The length of the run; needed for percentages with `at` or `state`.
        extra_zeros: The fraction of a weight that may be zero beyond what is asked, in place of
            the rule above.
        kinds: For a file, pairs of a glob for names and a kind, as ``--kind`` gives them.

    Returns:
        What was found; its `holds` is the answer.

    Raises:
        ModelError: The model cannot be read, has nothing to prune, or is sharded.
        PolicyError: The policy is not valid, does not fit the model, or needs `total_steps`.
        StateError: The masks or the state cannot be read, or the state is of another step.
        OSError: A file must not be read.

    Example:
        >>> import numpy as np
        >>> weights = {"fc": np.array([[0.0, 3.0], [2.0, 4.0]])}
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> verify(weights, half).weights[0].problems
        ('1 weights too few are zero',)

    """
    question = Question(policy, at, masks, state, total_steps, extra_zeros)
    if not isinstance(model, str | os.PathLike):
        return verify_bound(bind(model), question)
    path = Path(model)
    held = read_model_file(path)
    known = isinstance(held, Checkpoint)
    binding = CheckpointBinding(held, kinds).binding if known else bind(held)
    return verify_bound(binding, question, path)


def verify_bound(
    binding: Binding,
    question: Question,
    path: Path | None = None,
    done: Done = lambda spec: None,
) -> Verification:
    """Return whether a bound model obeys a policy.

    Args:
        binding: The model.
        question: What it is verified against.
        path: The file that it is from.
        done: Called for each weight that was looked at, for a progress bar.

    """
    policy = as_policy(question.policy)
    _check_extra(question.extra_zeros)
    proofs = _proofs(question)
    step = _step(question, proofs)
    plan = resolve(policy, binding, question.total_steps)
    if step is not None:
        for rule in policy.resolved_rules:
            on_steps(rule, question.total_steps)
    _refuse_shards(binding)
    began = next((proof.began for proof in proofs if proof.step is not None), None)
    targets = {rule.rule: target_at(rule, step, began) for rule in plan.rule_weights}
    looks = dict(_looks(binding, _methods(plan, targets), proofs, done))
    asked = _asked(plan, looks, targets)
    together = _together(plan, looks, targets, question.extra_zeros)
    return Verification(
        model=binding.adapter if path is None else str(path),
        sha256=_digest(path),
        policy=policy.title,
        fingerprint=policy.fingerprint,
        step=step,
        weights=tuple(_weights(plan, looks, asked, question.extra_zeros)),
        labels={p.rule: policy.rule_label(p.rule) for p in plan.weights},
        problems=(*_proof_problems(proofs, plan), *together),
        proven_by=tuple(proof.source for proof in proofs),
        versions={"secateur": __version__, "numpy": np.__version__},
        notes=(*plan.policy_notes, *_notes(looks)),
    )


def _check_extra(extra: float | None) -> None:
    is_number = isinstance(extra, int | float) and not isinstance(extra, bool)
    if extra is not None and not (is_number and 0 <= extra <= 1):
        raise PolicyError(f"extra_zeros = {shown(extra)}: wanted a fraction from 0 to 1")


def _proofs(question: Question) -> list[Proof]:
    found = [] if question.masks is None else [masks_proof(question.masks)]
    return found if question.state is None else [*found, state_proof(question.state)]


def _step(question: Question, proofs: Sequence[Proof]) -> int | None:
    """Return the step that the masks must be of; None for the final sparsity."""
    at = question.at
    if at is not None and (whole(at) is None or at < 0):
        raise StateError(f"at = {shown(at)}: wanted a number of optimizer updates, from 0")
    if at is not None and question.total_steps is not None and at > question.total_steps:
        raise StateError(f"step {at} is beyond the end of a run of {question.total_steps} updates")
    for proof in proofs:
        if proof.step is not None:
            if at is not None and at != proof.step:
                raise StateError(
                    f"{proof.source} was saved at step {proof.step}, not {at}: leave out the step, "
                    "or give the state of that step"
                )
            return proof.step
    return at


def _refuse_shards(binding: Binding) -> None:
    if sharded := [weight.spec.name for weight in binding.weights if weight.sharded]:
        raise ModelError(
            f"sharded over processes: {listed(sharded, _MOST_NAMES)}; verify a checkpoint of the "
            "whole model"
        )


def _methods(plan: Plan, targets: Mapping[int, float | None]) -> dict[str, Method]:
    """Return how weights are pruned; none for weights of which nothing is pruned yet."""
    return {
        spec.name: rule.method
        for rule in plan.rule_weights
        if targets[rule.rule] is not None
        for spec in rule.specs
    }


def _looks(
    binding: Binding, methods: Mapping[str, Method], proofs: Sequence[Proof], done: Done
) -> Iterator[tuple[str, Look]]:
    found = [_by_weight(proof, binding.weights) for proof in proofs]
    for weight in binding.weights:
        spec = weight.spec
        values, method = weight.read(), methods.get(spec.name)
        nonzero = np.asarray(values != 0)
        masks = tuple(
            compare(spec, nonzero, method, proof.source, named.get(spec.name))
            for proof, named in zip(proofs, found, strict=True)
        )
        held = look(spec, nonzero, count(values, nonzero), method)
        yield spec.name, replace(held, masks=masks)
        done(spec)


def _by_weight(proof: Proof, weights: Sequence[Weight]) -> dict[str, Array]:
    """Return the masks by the name that the model has for their weight."""
    names = {alias: w.spec.name for w in weights for alias in (w.spec.name, *w.spec.aliases)}
    found: dict[str, Array] = {}
    for name, mask in proof.masks.items():
        known = name if name in names else named_natively(name, names)
        found[names[known] if known else name] = mask
    return found


def _asked(
    plan: Plan, looks: Mapping[str, Look], targets: Mapping[int, float | None]
) -> dict[str, int | None]:
    """Return how many groups of each weight must be zero; None where a rule asks it together."""
    asked: dict[str, int | None] = dict.fromkeys(looks, 0)
    for rule, target in _due(plan, targets):
        held = [looks[spec.name] for spec in rule.specs]
        totals = [each.groups.total if each.groups else 0 for each in held]
        kept = kept_of_each(rule, totals, target)
        for number, each in enumerate(held):
            if each.sets is not None:
                asked[each.spec.name] = each.sets.asked
            elif each.groups is None or kept is None:
                asked[each.spec.name] = None
            else:
                asked[each.spec.name] = totals[number] - kept[number]
    return asked


def _due(plan: Plan, targets: Mapping[int, float | None]) -> Iterator[tuple[RuleWeights, float]]:
    for rule in plan.rule_weights:
        target = targets[rule.rule]
        if target is not None:
            yield rule, target


def _together(
    plan: Plan,
    looks: Mapping[str, Look],
    targets: Mapping[int, float | None],
    extra: float | None,
) -> Iterator[str]:
    """Yield what is wrong with the weights of a rule together, where scores decide among them."""
    for rule, target in _due(plan, targets):
        held = [looks[spec.name] for spec in rule.specs]
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
                yield f"the masks in {source}: {problem}"


def _masks_of(held: Iterable[Look]) -> dict[str, dict[str, Look]]:
    """Return what masks hold, by their source and weight, where there is one for each weight."""
    looks = list(held)
    found: dict[str, dict[str, Look]] = {}
    for each in looks:
        for mask in each.masks:
            if mask.mask is not None:
                found.setdefault(mask.source, {})[each.spec.name] = mask.mask
    return {source: masks for source, masks in found.items() if len(masks) == len(looks)}


def _weights(
    plan: Plan, looks: Mapping[str, Look], asked: Mapping[str, int | None], extra: float | None
) -> Iterator[VerifiedWeight]:
    for planned in plan.weights:
        name = planned.spec.name
        held = looks[name]
        groups = held.groups if held.is_counted else None
        yield VerifiedWeight(
            name,
            planned.rule,
            planned.spec.size,
            held.unit,
            groups.total if groups else planned.spec.size,
            asked[name],
            groups.zero if groups else held.values.zeros,
            held.values.negative_zeros,
            held.values.not_finite,
            max((mask.kept_zeros for mask in held.masks), default=None),
            tuple(problems(held, asked[name], extra)),
        )


def _proof_problems(proofs: Sequence[Proof], plan: Plan) -> Iterator[str]:
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


def _notes(looks: Mapping[str, Look]) -> Iterator[str]:
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


def _digest(path: Path | None) -> str | None:
    if path is None or not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
