"""Pruning in one go: the masks of the final sparsity, without training."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from secateur import masks, report
from secateur.adapter import Binding
from secateur.events import MasksUpdated
from secateur.layout import Array
from secateur.planning import Group, Plan
from secateur.registry import registry
from secateur.report import Report


def prune_once(
    binding: Binding, planned: Plan, done: Callable[[Group], object] = lambda group: None
) -> Report:
    """Prune a bound model to the final sparsity of its plan, and let go of it.

    done: is called after the masks of each group were computed, for a progress bar.
    Raises WeightError or PluginError; nothing is changed then.
    """
    weights = {weight.spec.name: weight for weight in binding.weights}
    found: dict[str, Array] = {}
    targets: dict[str, float] = {}
    for group in planned.groups:
        members = [weights[spec.name] for spec in group.specs]
        final = group.method.final
        found |= masks.compute(group.method, members, final, workers=binding.workers)
        targets |= {spec.name: final for spec in group.specs}
        done(group)
    for mask in found.values():
        mask.flags.writeable = False
    frozen = MappingProxyType(found), MappingProxyType(targets)
    registry().notify(MasksUpdated(0, *frozen, planned.policy.fingerprint))
    binding.hold(found)
    binding.release()
    return report.make(planned, 0, found, (), masks.kept(found, binding.workers))
