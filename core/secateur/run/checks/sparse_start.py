"""Weights that hold more zeros than is asked of them: what an earlier pruning left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from secateur.adapter import Weight
from secateur.errors import listed
from secateur.layout import Array
from secateur.run.checks.group_counts import hold
from secateur.run.plan import Plan
from secateur.run.planned import RuleWeights
from secateur.run.saved.state import MOST_STEPS
from secateur.selection.component_errors import attributed
from secateur.tables import format_sparsity

_MARGIN = 0.1
"""By how much the sparsity found must exceed the one asked for: a few zeros are usual."""
_SAMPLE = 4096
_UPDATES = 1000
"""How many updates of a schedule are compared with what is found."""


@dataclass(frozen=True)
class Excess:
    """A weight that is sparser than is asked of it.

    Attributes:
        name: The weight.
        found: The sparsity that it has.
        asked: The sparsity that is asked of it.

    """

    name: str
    found: float
    asked: float


def sparsity_of(values: Array, asked: float) -> float:
    """Return the fraction of values that are zero.

    Where a sample shows about what is asked, or less, that of the sample.
    """
    flat = np.ravel(values, order="K")
    sample = flat[:: max(1, flat.size // _SAMPLE) | 1]
    if not flat.size:
        return 0.0
    found = 1 - np.count_nonzero(sample) / sample.size
    return found if found < asked + _MARGIN / 2 else 1 - np.count_nonzero(flat) / flat.size


def excesses(weights: Iterable[Weight], asked: Mapping[str, float]) -> list[Excess]:
    """Return the weights that are sparser than asked, the sparsest first.

    A weight that is zero throughout was made so, and not pruned.
    """
    by_name = {weight.spec.name: weight for weight in weights}
    found = [
        Excess(name, sparsity_of(weight.read(), asked[name]), asked[name])
        for name, weight in by_name.items()
    ]
    return sparser(found)


def sparser(found: Iterable[Excess]) -> list[Excess]:
    """Return those that are sparser than asked, the sparsest first."""
    chosen = [each for each in found if each.asked + _MARGIN <= each.found < 1]
    return sorted(chosen, key=lambda each: -each.found)


def zeros_note(found: Sequence[Excess]) -> str:
    """Return the note on weights that hold more zeros than their masks prune."""
    asked = max(each.asked for each in found)
    return (
        f"there are more zeros than the masks prune (up to {asked:.4f} of a weight): "
        f"{in_figures(found)}. They were zero before, as after an earlier pruning, and "
        "nothing keeps them zero in training"
    )


def in_figures(found: Sequence[Excess]) -> str:
    """Return the weights and their sparsities, for a message."""
    return listed([f"{each.name} ({format_sparsity(each.found)})" for each in found], 3)


def before_training(plan: Plan, weights: Mapping[str, Weight]) -> tuple[str, bool]:
    """Return a note on weights that are sparser than their schedules start, "" without any.

    Returns:
        The note; and whether the weights may come from a run under this plan, whose state is
        about to be loaded.

    """
    found: list[Excess] = []
    may_be_resumed = True
    for rule in plan.rule_weights:
        if not rule.method.has_target:
            continue
        asked = _at_the_start(rule)
        members = {name: weights[name] for name in asked}
        if sparser := excesses(members.values(), asked):
            found += sparser
            may_be_resumed &= _may_be_resumed(rule, members)
    if not found:
        return "", True
    found.sort(key=lambda each: -each.found)
    first = found[0]
    note = (
        f"sparser already than their schedule starts (at {first.asked:g}): {in_figures(found)}. "
        "The masks follow the schedule, so zeros are trained again until it has passed that "
        f"sparsity. To keep them, start it there (initial_sparsity = {first.found:.2g}); to go "
        "on with an earlier run, load its state"
    )
    return note, may_be_resumed


def _may_be_resumed(rule: RuleWeights, members: Mapping[str, Weight]) -> bool:
    """Return whether weights are as sparse as one of the updates of their schedule makes them."""
    schedule, names = rule.method.schedule, list(members)
    is_sharded = any(weight.sharded for weight in members.values())
    if schedule.begin_when is not None or is_sharded or rule.method.criterion.regrows:
        return True  # when it began, what others hold, or what has just come, cannot be told
    masks = {name: np.asarray(weight.read() != 0) for name, weight in members.items()}
    kept = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    step = MOST_STEPS
    asked: set[float] = set()
    for _ in range(_UPDATES):
        with attributed(schedule, 0, names):
            earlier = schedule.last_update(step - 1)
            if earlier is None:
                return False
            step, scheduled = earlier, schedule.sparsity(earlier)
        if scheduled not in asked and hold(rule, masks, kept, scheduled):
            return True
        asked.add(scheduled)
    return len(asked) > 1  # of a schedule that goes on for ever


def _at_the_start(rule: RuleWeights) -> dict[str, float]:
    """Return the sparsity that each weight of a rule has after step 0."""
    method, specs = rule.method, rule.specs
    schedule, names = method.schedule, [spec.name for spec in specs]
    with attributed(schedule, 0, names):
        begins = schedule.begin_when is None and schedule.updates_at(0)
        target = method.target(schedule.sparsity(0)) if begins else 0.0
    if method.pattern.fixed_sparsity is not None:
        return dict.fromkeys(names, target)
    with attributed(method.distribution, 0, names):
        targets = method.distribution.targets(specs, target)
    if targets is None:
        targets = [target] * len(specs)
    return dict(zip(names, map(float, targets), strict=True))
