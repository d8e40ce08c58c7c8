"""Check a policy: every fault, and what is legal and was surely meant otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from secateur.adapter import Binding
from secateur.components.values import checked_total_steps
from secateur.errors import ModelError, SecateurError
from secateur.hooks.dispatch import bind
from secateur.policy.policy import Policy, PolicyLike
from secateur.policy.reading.overrides import Overrides
from secateur.review.faults import Reading, read_all
from secateur.review.findings import PROBLEM, WARNING, Check, CheckedModel, Finding
from secateur.review.layers import layer_remarks
from secateur.review.models import ModelReview, model_remarks, review
from secateur.review.remarks import Remark, as_findings
from secateur.review.rules import rule_remarks
from secateur.review.schedules import schedule_remarks
from secateur.review.shadows import shadowed


def check(
    policy: PolicyLike, *, models: Sequence[Any] = (), total_steps: int | None = None
) -> Check:
    """Check a policy, alone or on models; nothing is changed.

    Args:
        policy: A Policy, a path, a mapping, or the name of a ready policy.
        models: Models that `secateur.plan` takes.
        total_steps: The number of optimizer updates of the run, to see what schedules reach.

    Returns:
        Every fault, and what is legal and was probably meant otherwise.

    Raises:
        PolicyError: `policy` is none of these, or `total_steps` is no number of updates.
        ModelError: A model cannot be bound.

    Example:
        >>> rules = [{"match": {"kind": "dense"}}, {"match": {"kind": "dense", "min_size": 9}}]
        >>> half = {"kind": "one_shot", "final_sparsity": 0.5}
        >>> [problem.text for problem in check({"schedule": half, "rules": rules}).problems]
        ['rule 2: decides no weight: all that it matches, rule 1 decides before']

    """
    if isinstance(models, Mapping) or not isinstance(models, Sequence):
        raise ModelError("check(models=...): wanted a list of models")
    named = [(f"model {number}", bind(model)) for number, model in enumerate(models, 1)]
    return check_bound(policy, named, checked_total_steps(total_steps))


def check_bound(
    policy: PolicyLike,
    models: Sequence[tuple[str, Binding | SecateurError | OSError]] = (),
    total_steps: int | None = None,
    overrides: Overrides | None = None,
) -> Check:
    """Check a policy on bound models.

    Args:
        policy: As in `check`.
        models: The name of each model, and the model, or why it could not be bound.
        total_steps: The length of the run, if it is known.
        overrides: Settings that are changed.

    """
    read = read_all(policy, overrides or Overrides({}))
    findings = list(read.findings)
    reviews: list[ModelReview] = []
    if read.policy is not None:
        for name, model in models:
            try:
                if isinstance(model, Exception):
                    raise model
                reviews.append(review(read.policy, name, model, total_steps))
            except (SecateurError, OSError) as error:
                text = _words(error).removeprefix(f"{name}: ")
                findings.append(Finding(PROBLEM, text, name))
        findings += as_findings(read.policy, _remarks(read, reviews, total_steps))
    order = (PROBLEM, WARNING)
    return Check(
        _called(policy),
        read.policy.fingerprint if read.policy and not read.is_partial else None,
        tuple(sorted(dict.fromkeys(findings), key=lambda each: order.index(each.level))),
        tuple(
            CheckedModel(
                each.name, each.plan.kept, each.plan.size, each.plan.at_most, each.plan.about
            )
            for each in reviews
        )
        if not read.is_partial
        else (),
    )


def _remarks(
    read: Reading, reviews: Sequence[ModelReview], total_steps: int | None
) -> Iterator[Remark]:
    policy = read.policy
    if policy is None:
        return
    shadows = list(shadowed(policy.resolved_rules))
    yield from rule_remarks(policy, shadows, read.is_partial)
    if read.knows_schedule:
        yield from schedule_remarks(policy, total_steps)
    yield from model_remarks(policy, reviews, shadows, read.is_partial)
    yield from layer_remarks(read.layers)


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _called(policy: PolicyLike) -> str:
    if isinstance(policy, (str, os.PathLike)):
        return os.fspath(policy)
    return policy.source if isinstance(policy, Policy) else "policy"
