"""`secateur.verify`: does a model, or the file that ships, obey a policy?"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from secateur.adapter import Binding, Checkpoint, Weight, WeightSpec
from secateur.adapter.native_names import named_natively
from secateur.checkpoints.bind import CheckpointBinding
from secateur.checkpoints.infer_kinds import Kinds
from secateur.components.method import Method
from secateur.errors import ModelError, listed, shown
from secateur.hooks.dispatch import bind
from secateur.layout import Array
from secateur.masks.compute import compute
from secateur.policy.policy import Policy, PolicyLike, as_policy
from secateur.run.plan import Plan
from secateur.run.planned import RuleWeights
from secateur.run.resolve import on_steps, resolve
from secateur.run.saved.about import versions
from secateur.shipping.model_files import policy_noted_in, read_model_file
from secateur.verification.asked import due_rules, kept_of_each, lets_come_back, target_at
from secateur.verification.counted import count
from secateur.verification.found import notes_on, proof_problems, rules_problems, weights_found
from secateur.verification.judge import Look, compare, look
from secateur.verification.outcome import Verification
from secateur.verification.proofs import MasksLike, Proof
from secateur.verification.question import Question, check_extra, proofs_of, step_of

Done = Callable[[WeightSpec], object]
_MOST_NAMES = 8


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
        ('too few zero weights, by 1',)

    """
    question = Question(policy, at, masks, state, total_steps, extra_zeros)
    if not isinstance(model, str | os.PathLike):
        return verify_bound(bind(model), question)
    path = Path(model)
    held = read_model_file(path)
    noted = policy_noted_in(path, held)
    if not isinstance(held, Checkpoint):
        return verify_bound(bind(held), question, path, noted=noted)
    bound = CheckpointBinding(held, kinds)
    return verify_bound(bound.binding, question, path, notes=bound.notes, noted=noted)


def verify_bound(
    binding: Binding,
    question: Question,
    path: Path | None = None,
    done: Done = lambda spec: None,
    notes: Sequence[str] = (),
    noted: str | None = None,
) -> Verification:
    """Return whether a bound model obeys a policy.

    Args:
        binding: The model.
        question: What it is verified against.
        path: The file that it is from.
        done: Called for each weight that was looked at, for a progress bar.
        notes: What was assumed of the file.
        noted: The fingerprint of the policy by which the file says that it was pruned.

    """
    policy = as_policy(question.policy)
    check_extra(question.extra_zeros)
    proofs = proofs_of(question)
    step = step_of(question, proofs)
    plan = resolve(policy, binding, question.total_steps)
    if step is not None:
        for rule in policy.resolved_rules:
            on_steps(rule, question.total_steps)
    _refuse_shards(binding)
    began = next((proof.began for proof in proofs if proof.step is not None), None)
    targets = {rule.rule: target_at(rule, step, began) for rule in plan.rule_weights}
    growing = {
        spec.name: rule.rule
        for rule in plan.rule_weights
        if targets[rule.rule] is not None and lets_come_back(rule, step, began)
        for spec in rule.specs
    }
    looks = {
        name: replace(held, is_growing=name in growing)
        for name, held in _looks(binding, _methods(plan, targets), proofs, done)
    }
    asked = _asked(plan, looks, targets)
    together = rules_problems(
        plan, looks, targets, question.extra_zeros, lambda *rule: _finds_any(binding, *rule)
    )
    return Verification(
        model=binding.adapter if path is None else str(path),
        sha256=_digest(path),
        policy=policy.title,
        fingerprint=policy.fingerprint,
        step=step,
        weights=tuple(weights_found(plan, looks, asked, question.extra_zeros)),
        labels={p.rule: policy.rule_label(p.rule) for p in plan.weights},
        problems=(*proof_problems(proofs, plan), *together),
        proven_by=tuple(proof.source for proof in proofs),
        versions=versions(binding.adapter),
        notes=(
            *plan.policy_notes,
            *(proof.note for proof in proofs if proof.note),
            *notes_on(looks),
            *_on_growing(growing.values(), step, proofs),
            *_on_quantized(binding),
            *_on_policy(noted, policy),
            *notes,
        ),
    )


def _on_policy(noted: str | None, policy: Policy) -> Iterator[str]:
    """Yield a note if a file says that another policy pruned it, which it may obey all the same."""
    if noted not in (None, policy.fingerprint):
        yield (
            f"the file notes that policy {shown(str(noted)[:12])} pruned it, and this is "
            f"{policy.fingerprint[:12]}"
        )


def _on_growing(rules: Iterable[int], step: int | None, proofs: Sequence[Proof]) -> Iterator[str]:
    """Yield a note where zeros of weights that come back cannot be told from pruned ones."""
    numbers = sorted({*rules})
    if numbers and not proofs:
        which = ", ".join(map(str, numbers))
        yield (
            f"rule {which} lets weights come back at step {step}, and they are zero until the "
            "next update: only the state tells them from pruned ones, so more zeros are no fault"
        )


def _on_quantized(binding: Binding) -> Iterator[str]:
    """Yield a note if weights were quantized, so that nothing is known of their zeros."""
    names = [each.name for each in binding.skipped if "quantized" in each.reason]
    if names:
        yield f"quantized, so not verified: {listed(names, _MOST_NAMES)}"


def _finds_any(binding: Binding, rule: RuleWeights, target: float) -> bool:
    """Return whether a rule would prune any of its weights as they are now."""
    if rule.watches_training or rule.method.keeps_zeros:
        return True
    names = {spec.name for spec in rule.specs}
    weights = [weight for weight in binding.weights if weight.spec.name in names]
    return not all(mask.all() for mask in compute(rule.method, weights, target).values())


def _refuse_shards(binding: Binding) -> None:
    if sharded := [weight.spec.name for weight in binding.weights if weight.sharded]:
        raise ModelError(
            f"sharded over processes: {listed(sharded, _MOST_NAMES)}; verify a checkpoint of the "
            "whole model"
        )


def _methods(plan: Plan, targets: Mapping[int, float | None]) -> dict[str, Method]:
    """Return how weights are pruned; those that nothing prunes yet are left out."""
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
    for rule, target in due_rules(plan, targets):
        held = [looks[spec.name] for spec in rule.specs]
        totals = [each.groups.total if each.groups else 0 for each in held]
        kept = None if rule.by_values else kept_of_each(rule, totals, target)
        for number, each in enumerate(held):
            if each.sets is not None:
                asked[each.spec.name] = each.sets.asked
            elif each.groups is None or kept is None:
                asked[each.spec.name] = None
            else:
                asked[each.spec.name] = totals[number] - kept[number]
    return asked


def _digest(path: Path | None) -> str | None:
    if path is None or not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
