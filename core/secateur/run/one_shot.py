"""Pruning in one go: the masks of the final sparsity, without training."""

from __future__ import annotations

from collections.abc import Callable

from secateur.adapter import Binding
from secateur.hooks.events import MasksUpdated
from secateur.layout import Array
from secateur.masks import compute as masks
from secateur.run import report
from secateur.run.apply_masks import apply_masks
from secateur.run.plan import Plan, RuleWeights
from secateur.run.report import Report


def prune_once(
    binding: Binding, planned: Plan, done: Callable[[RuleWeights], object] = lambda group: None
) -> Report:
    """Prune a bound model to the final sparsity of its plan, and let go of it.

    done: is called after the masks of each group were computed, for a progress bar.
    Raises WeightError or PluginError; nothing is changed then.
    """
    weights = {weight.spec.name: weight for weight in binding.weights}
    found: dict[str, Array] = {}
    targets: dict[str, float] = {}
    for group in planned.rule_weights:
        members = [weights[spec.name] for spec in group.specs]
        final = group.method.final
        found |= masks.compute(group.method, members, final, workers=binding.workers)
        targets |= {spec.name: final for spec in group.specs}
        done(group)
    apply_masks(binding, found, MasksUpdated(0, found, targets, planned.policy.fingerprint))
    binding.release()
    return report.make(planned, 0, found, (), masks.kept(found, binding.workers))
