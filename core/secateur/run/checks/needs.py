"""What criteria need that a run cannot give: said by a plan, and before a run begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from secateur.adapter import Binding
from secateur.components.criteria import Regrowth
from secateur.components.criteria.criterion import GRADIENT
from secateur.errors import ModelError, PolicyError, listed
from secateur.run.plan import Plan
from secateur.run.planned import RuleWeights
from secateur.selection.component_errors import attributed


def problems(rule_weights: Sequence[RuleWeights], binding: Binding) -> Iterator[str]:
    """Yield why criteria cannot have what they need in a run on a model.

    Args:
        rule_weights: The weights of each rule.
        binding: The bound model.

    Raises:
        PluginError: The memory of a criterion is not well defined.

    """
    for rule in rule_weights:
        kind = rule.method.criterion.kind
        if rule.needs_gradients:
            found = binding.gradient_problems([spec.name for spec in rule.specs])
            for name, why in list(found.items())[:1]:
                more = f" and of {len(found) - 1} more weights" if len(found) > 1 else ""
                yield (
                    f"rule {rule.rule}: criterion {kind!r} needs the gradient of {name}{more}: "
                    f"{why}"
                )
        if rule.watches_training and _begins_at_once(rule):
            what = "no gradient" if rule.needs_gradients else "nothing in its memory"
            yield (
                f"rule {rule.rule}: its schedule prunes at step 0, before the first update, when "
                f"criterion {kind!r} has {what} yet: set begin_step = 1 or later"
            )


def notes(rule_weights: Sequence[RuleWeights], binding: Binding) -> Iterator[str]:
    """Yield what a plan says of the needs of criteria.

    Args:
        rule_weights: The weights of each rule.
        binding: The bound model.

    """
    yield from problems(rule_weights, binding)
    for rule in rule_weights:
        frozen = [spec.name for spec in rule.specs if not spec.trainable]
        if rule.needs_gradients and frozen and binding.knows_trainable:
            yield (
                f"rule {rule.rule}: {listed(frozen, 3)} is frozen, so that its gradient counts as "
                f"0 and criterion {rule.method.criterion.kind!r} cannot rank it; prune it by "
                "another rule (match = { trainable = false })"
            )


def check(plan: Plan, binding: Binding) -> None:
    """Check that a run can give what criteria need.

    Raises:
        ModelError: It cannot.

    """
    for problem in problems(plan.rule_weights, binding):
        raise ModelError(problem)


def check_one_shot(plan: Plan) -> None:
    """Check that no criterion needs an update, since pruning in one go makes none.

    Raises:
        PolicyError: One does.

    """
    for rule in plan.rule_weights:
        kind = rule.method.criterion.kind
        if isinstance(rule.method.criterion, Regrowth):
            raise PolicyError(
                f"rule {rule.rule}: criterion {kind!r} moves weights from update to update of a "
                "training run, and pruning in one go makes none: use secateur.attach(), or "
                "another criterion; nothing was changed"
            )
        if rule.watches_training:
            what = GRADIENT if rule.needs_gradients else "memory of updates"
            raise PolicyError(
                f"rule {rule.rule}: criterion {kind!r} needs the {what} of a training run, and "
                "pruning in one go makes no update: use secateur.attach(), or another criterion; "
                "nothing was changed"
            )


def _begins_at_once(rule: RuleWeights) -> bool:
    """Return whether a rule prunes something at step 0."""
    schedule, names = rule.method.schedule, [spec.name for spec in rule.specs]
    if schedule.begin_when is not None or schedule.percentages():
        return False
    with attributed(schedule, 0, names):
        return schedule.updates_at(0) and rule.method.target(schedule.sparsity(0)) > 0
