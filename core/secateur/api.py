"""The three verbs: plan, prune, attach."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from secateur.errors import PolicyWarning, ScheduleWarning
from secateur.hooks.at_work import Observer, checked_observers
from secateur.hooks.dispatch import bind
from secateur.policy.policy import PolicyLike, as_policy
from secateur.run.checks import kept_zeros
from secateur.run.checks.needs import check_one_shot
from secateur.run.one_shot import prune_once
from secateur.run.plan import Plan
from secateur.run.pruner import Pruner
from secateur.run.report import Report
from secateur.run.resolve import on_steps, resolve


def plan(model: Any, policy: PolicyLike, *, total_steps: int | None = None) -> Plan:
    """Resolve a policy on a model, and change nothing: print the result to see it.

    Args:
        model: A Keras model, a PyTorch module, a Flax module, or a mapping of name to array in
            canonical layout.
        policy: A Policy, a path, a mapping, or the name of a ready policy.
        total_steps: The number of optimizer updates of the whole run; without it, schedules keep
            their percentages.

    Returns:
        The plan.

    Raises:
        PolicyError: The policy is not valid, or does not fit the model.
        ModelError: The model cannot be bound, or has nothing to prune.

    Warns:
        ScheduleWarning: A schedule does not reach its final sparsity, or only in jumps.
        PolicyWarning: A rule decides no weight, since earlier rules decide them all.

    Example:
        >>> import numpy as np
        >>> policy = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> plan({"fc": np.ones((2, 4))}, policy).weights[0].target
        0.5

    """
    binding = bind(model)
    planned = resolve(as_policy(policy), binding, total_steps)
    _warn(planned)
    return kept_zeros.with_notes(planned, binding)


def prune(model: Any, policy: PolicyLike, *, observers: Sequence[Observer] = ()) -> Report:
    """Prune a model in place, once, to the final sparsity, without training.

    Args:
        model: A model that `plan` takes.
        policy: A Policy, a path, a mapping, or the name of a ready policy.
        observers: What observes this run alone, such as `secateur.Recorder`; those that are
            registered by `secateur.register` observe every run.

    Returns:
        The report, with the masks.

    Raises:
        PolicyError: The policy is not valid, or does not fit the model; nothing is changed then.
        ModelError: The model cannot be bound, or has nothing to prune; nothing is changed then.
        WeightError: A weight holds NaN or infinity; nothing is changed then.
        PluginError: A plugin fails; nothing is changed then.

    Warns:
        ScheduleWarning: A pattern has another sparsity than the schedule asks for.
        PolicyWarning: A rule decides no weight, since earlier rules decide them all.

    Example:
        >>> import numpy as np
        >>> w = np.array([[1.0, -3.0], [2.0, -4.0]])
        >>> report = prune({"fc": w}, {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}})
        >>> w.tolist(), report.sparsity, report.masks["fc"].tolist()
        ([[0.0, -3.0], [0.0, -4.0]], 0.5, [[False, True], [False, True]])

    """
    watching = checked_observers(observers)
    binding = bind(model)
    planned = resolve(as_policy(policy), binding)
    check_one_shot(planned)
    _warn(planned)
    return prune_once(binding, planned, observers=watching)


def attach(
    model: Any,
    policy: PolicyLike,
    *,
    optimizer: Any = None,
    total_steps: int | None = None,
    observers: Sequence[Observer] = (),
) -> Pruner:
    """Prune a model while its own training loop runs.

    Step 0 is evaluated at once.  The model stays what it is; only its weights change.

    Args:
        model: A model that `plan` takes.
        policy: A Policy, a path, a mapping, or the name of a ready policy.
        optimizer: In PyTorch, the optimizer whose updates are the steps; without it, call
            ``pruner.step()`` after each update.  In Keras, pass ``pruner.callback()`` to ``fit``.
        total_steps: The number of optimizer updates of the whole run; needed for percentages.
        observers: What observes this run alone, such as `secateur.Recorder`; those that are
            registered by `secateur.register` observe every run.

    Returns:
        The live handle.

    Raises:
        PolicyError: The policy is not valid, or does not fit the model or the length of the run;
            nothing is changed then.
        ModelError: The model cannot be bound, or has nothing to prune; nothing is changed then.
        WeightError: A weight holds NaN or infinity; nothing is changed then.
        PluginError: A plugin fails; nothing is changed then.

    Warns:
        ScheduleWarning: The run is too short for a schedule to reach its final sparsity, or it
            does so only in jumps.
        PolicyWarning: A rule decides no weight, since earlier rules decide them all.

    Example:
        >>> import numpy as np
        >>> w = np.arange(1.0, 9.0).reshape(2, 4)
        >>> schedule = {"kind": "linear", "final_sparsity": 0.5, "end_step": 2, "frequency": 1}
        >>> pruner = attach({"fc": w}, {"schedule": schedule})
        >>> w += 1
        >>> pruner.step()
        >>> w.tolist()
        [[0.0, 0.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0]]

    """
    watching = checked_observers(observers)
    checked = as_policy(policy)
    for rule in checked.resolved_rules:
        on_steps(rule, total_steps)
    binding = bind(model)
    planned = resolve(checked, binding, total_steps)
    pruner = Pruner(binding, planned, watching)
    _warn(planned)
    return pruner.start(optimizer)


def _warn(planned: Plan) -> None:
    for category, notes in (
        (ScheduleWarning, planned.schedule_notes),
        (PolicyWarning, planned.policy_notes),
    ):
        for note in notes:
            warnings.warn(note, category, stacklevel=3)
