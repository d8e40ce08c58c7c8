"""The three verbs: plan, prune, attach."""

from __future__ import annotations

import warnings
from typing import Any

from secateur.errors import ScheduleWarning
from secateur.hooks.dispatch import bind
from secateur.policy.policy import PolicyLike, as_policy
from secateur.run.one_shot import prune_once
from secateur.run.plan import Plan, resolve
from secateur.run.pruner import Pruner
from secateur.run.report import Report


def plan(model: Any, policy: PolicyLike, *, total_steps: int | None = None) -> Plan:
    """Resolve a policy on a model, and change nothing: print the result to see it.

    model: a Keras model, a PyTorch module, or a mapping of name to array in canonical
    layout.  policy: a Policy, a path, a mapping, or the name of a ready policy.

    >>> import numpy as np
    >>> policy = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
    >>> plan({"fc": np.ones((2, 4))}, policy).weights[0].target
    0.5

    Raises PolicyError, or ModelError for a model that cannot be bound.
    """
    return resolve(as_policy(policy), bind(model), total_steps)


def prune(model: Any, policy: PolicyLike) -> Report:
    """Prune a model in place, once, to the final sparsity, without training.

    Returns the report, with the masks.  Takes what `plan` takes.

    >>> import numpy as np
    >>> w = np.array([[1.0, -3.0], [2.0, -4.0]])
    >>> report = prune({"fc": w}, {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}})
    >>> w.tolist(), report.sparsity, report.masks["fc"].tolist()
    ([[0.0, -3.0], [0.0, -4.0]], 0.5, [[False, True], [False, True]])

    Raises PolicyError, ModelError, or WeightError for a NaN or infinity; nothing is changed
    then.
    """
    binding = bind(model)
    return prune_once(binding, resolve(as_policy(policy), binding))


def attach(
    model: Any, policy: PolicyLike, *, optimizer: Any = None, total_steps: int | None = None
) -> Pruner:
    """Prune a model while its own training loop runs; returns the live handle.

    optimizer: in PyTorch, the optimizer whose updates are the steps; without it, call
    ``pruner.step()`` after each update.  In Keras, pass ``pruner.callback()`` to ``fit``.
    total_steps: the number of optimizer updates of the whole run; needed for percentages.

    Step 0 is evaluated at once.  The model stays what it is; only its weights change.

    >>> import numpy as np
    >>> w = np.arange(1.0, 9.0).reshape(2, 4)
    >>> schedule = {"kind": "linear", "final_sparsity": 0.5, "end_step": 2, "frequency": 1}
    >>> pruner = attach({"fc": w}, {"schedule": schedule})
    >>> w += 1
    >>> pruner.step()
    >>> w.tolist()
    [[0.0, 0.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0]]

    Raises PolicyError, ModelError or WeightError; nothing is changed then.  Warns
    (ScheduleWarning) when the run is too short for a schedule to reach its final sparsity.
    """
    settled = as_policy(policy)
    for rule in settled.resolved_rules:
        if rule.method:
            rule.method.schedule.with_total_steps(total_steps)
    binding = bind(model)
    planned = resolve(settled, binding, total_steps)
    pruner = Pruner(binding, planned)
    if total_steps is not None:
        _warn_if_too_short(planned, total_steps)
    pruner.start(optimizer)
    return pruner


def _warn_if_too_short(planned: Plan, total_steps: int) -> None:
    for group in planned.rule_weights:
        schedule = group.method.schedule
        if schedule.begin_when is not None:
            continue
        last = schedule.last_update(total_steps)
        reached = 0.0 if last is None else schedule.sparsity(last)
        if reached != schedule.final:
            warnings.warn(
                f"rule {group.rule}: in a run of {total_steps} steps its schedule reaches "
                f"sparsity {reached:.4g}, not {schedule.final:g}: {schedule.to_dict()}. "
                "Let it begin or end earlier, or update more often.",
                ScheduleWarning,
                stacklevel=3,
            )
