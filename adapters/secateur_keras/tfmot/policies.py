"""The policy that calls of `prune_low_magnitude` mean."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import secateur
from secateur.adapter import WeightSpec
from secateur.errors import PolicyError
from secateur_keras.binding import KerasBinding
from secateur_keras.tfmot.mark import marked_variables
from secateur_keras.tfmot.rules import Table, methods_of, rules_for
from secateur_keras.tfmot.settings import Settings
from secateur_keras.weight import KerasWeight

Group = tuple[Settings, list[WeightSpec]]


def to_policy(
    pruned: Any, path: str | os.PathLike[str] | None = None, *, total_steps: int | None = None
) -> secateur.Policy:
    """Return the policy that a model or layer was marked by, and write it to a file.

    Args:
        pruned: A built model or layer that `prune_low_magnitude` returned, or one that contains
            such layers.
        path: The new file, .toml, .yaml or .json; None writes none.
        total_steps: The number of optimizer updates of the run. A custom schedule is code,
            which no file holds; with this its values up to there are written instead.

    Returns:
        The policy.

    Raises:
        PolicyError: Nothing in it is marked, or a custom schedule is to be written to a file
            without `total_steps`.
        ModelError: It is not built, so that its weights are not known yet.

    Example:
        >>> import keras
        >>> from secateur_keras.tfmot.prune import prune_low_magnitude
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> to_policy(prune_low_magnitude(model)).schedule.final
        0.5

    """
    weights = KerasBinding(pruned).weights
    groups = _groups(pruned, weights)
    if not groups:
        raise PolicyError(
            f"nothing in {pruned.name} is marked to be pruned: give it, or layers of it, to "
            "prune_low_magnitude"
        )
    policy = secateur.Policy.parse(_table(weights, groups, total_steps))
    if path is not None:
        _refuse_code(policy)
        policy.dump(path)
    return policy


def _refuse_code(policy: secateur.Policy) -> None:
    for rule in policy.resolved_rules:
        if rule.method is not None and rule.method.schedule.kind == "tfmot":
            name = getattr(rule.method.schedule, "class_name", "")
            raise PolicyError(
                f"the schedule {name} is code, which a policy file does not hold: pass "
                "total_steps=, the number of optimizer updates, to write its values"
            )


def _groups(pruned: Any, weights: Sequence[KerasWeight]) -> list[Group]:
    """Return the weights that are marked, by their settings."""
    groups: dict[str, Group] = {}
    marks = marked_variables(pruned)
    for weight in weights:
        mark = marks.get(id(weight.variable))
        if mark is not None and weight.spec.kind != "depthwise":
            settings = mark.settings
            groups.setdefault(settings.key, (settings, []))[1].append(weight.spec)
    return list(groups.values())


def _table(weights: Sequence[KerasWeight], groups: list[Group], total_steps: int | None) -> Table:
    others = {weight.spec.name: weight.spec for weight in weights}
    for _, specs in groups:
        for spec in specs:
            del others[spec.name]
    has_depthwise = any(spec.kind == "depthwise" for spec in others.values())
    methods = [
        method for settings, specs in groups for method in methods_of(settings, specs, total_steps)
    ]
    if len(groups) > 1 or any(spec.kind != "depthwise" for spec in others.values()):
        return {"version": 1, "rules": [rule for each in methods for rule in rules_for(*each)]}
    (usual, _), *few = methods
    rules = [rule for each in few for rule in rules_for(*each)]
    if has_depthwise:
        rules.insert(0, {"match": {"kind": "depthwise"}, "prune": False})
    return {"version": 1, **usual, "rules": [*rules, {}] if rules else []}
