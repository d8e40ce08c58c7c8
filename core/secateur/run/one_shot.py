"""Pruning in one go: the masks of the final sparsity, without training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from secateur.adapter import Binding, Weight
from secateur.hooks.apply_masks import apply_masks, sparsities
from secateur.hooks.at_work import Observer
from secateur.hooks.events import MasksUpdated
from secateur.layout import Array
from secateur.masks import compute as masks
from secateur.run.checks import claims, kept_zeros
from secateur.run.checks.live import LiveModel, changes_of, emptied_notes
from secateur.run.checks.needs import check_one_shot
from secateur.run.checks.sparse_start import excesses, zeros_note
from secateur.run.plan import Plan
from secateur.run.report import Report, make_report


def prune_once(
    binding: Binding,
    planned: Plan,
    observers: Sequence[Observer] = (),
) -> Report:
    """Prune a bound model to the final sparsity of its plan, and let go of it.

    Args:
        binding: The model.
        planned: The plan for it.
        observers: The observers of this run.

    Raises:
        WeightError: A weight holds a NaN or infinity; nothing is changed then.
        PluginError: A part of the policy or an observer failed; nothing is changed then.
        PolicyError: A criterion needs a training run; nothing is changed then.
        ModelError: A pruner is attached to a weight; nothing is changed then.

    """
    check_one_shot(planned)
    weights = {weight.spec.name: weight for weight in binding.weights}
    pruned = [weights[spec.name] for rule in planned.rule_weights for spec in rule.specs]
    claims.check_free(pruned)
    zeros = kept_zeros.check(planned, kept_zeros.in_weights(weights, binding.workers))
    found: dict[str, Array] = {}
    targets: dict[str, float] = {}
    for rule in planned.rule_weights:
        members = [weights[spec.name] for spec in rule.specs]
        final = rule.method.final
        found |= masks.compute(rule.method, members, final, 0, None, binding.workers)
        targets |= {spec.name: final for spec in rule.specs}
    kept = masks.kept(found, binding.workers)
    for rule in planned.rule_weights:
        targets |= rule.held(kept)
    try:
        run = planned.observed(binding.weights)
        event = MasksUpdated(0, found, targets, planned.policy.fingerprint, run)
        apply_masks(binding, found, event, observers, once=True)
        live = LiveModel(changes=changes_of(binding))
        notes = (
            *live.notes(),
            *emptied_notes(planned, kept),
            *_notes_on_zeros(pruned, found, kept),
            *zeros.all,
        )
    finally:
        binding.release()
    return make_report(planned, 0, found, kept, live, notes, binding.tensors)


def _notes_on_zeros(
    pruned: list[Weight], found: Mapping[str, Array], kept: Mapping[str, int]
) -> Iterator[str]:
    """Yield a note if weights hold many more zeros than their masks prune."""
    asked = {w.spec.name: 1 - kept[w.spec.name] / max(w.spec.size, 1) for w in pruned}
    asked |= sparsities({w.spec.name: found[w.spec.name] for w in pruned if w.sharded})
    if sparser := excesses(pruned, asked):
        yield zeros_note(sparser)
