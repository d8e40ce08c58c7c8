"""What the live model holds, whatever was done to it since its masks were applied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from secateur.adapter import ATTACH_AGAIN, Binding, Weight
from secateur.errors import in_words, listed
from secateur.layout import Array
from secateur.run.plan import Plan
from secateur.run.planned import RuleWeights
from secateur.run.run_state import RunState, due

_SHOWN = 8


@dataclass(frozen=True)
class LiveModel:
    """How a live model differs from its masks.

    Attributes:
        nonzero: How many values are nonzero where the mask prunes, by weight.
        changes: A note for each weight that the model no longer has as it was bound; under other
            names, notes on other parts of the model.

    """

    nonzero: Mapping[str, int] = field(default_factory=dict)
    changes: Mapping[str, str] = field(default_factory=dict)

    def notes(self, attached: bool = True, detaching: bool = False) -> Iterator[str]:
        """Yield what a user should know; none advises to detach where that is being done."""
        notes, names = list(self.changes.values()), list(self.changes)
        if detaching:
            notes = [note.removesuffix(ATTACH_AGAIN) for note in notes]
        yield from notes[:_SHOWN]
        if len(notes) > _SHOWN:
            yield f"the same is true of others: {listed(names[_SHOWN:], _SHOWN)}"
        if not self.nonzero:
            return
        which = f"pruned values of {listed(self.nonzero, 3)} are not zero"
        if attached:
            remedy = "" if detaching else "; pruner.step(0) masks them"
            yield (
                f"{which}: after the last step weights were put in place, as load_state_dict, "
                "set_weights or EarlyStopping(restore_best_weights=True) does, or updated by an "
                f"optimizer that attach() was not given{remedy}"
            )
        else:
            yield f"{which}: they were changed after pruner.detach(), from when on no mask applies"


def look(binding: Binding, masks: Mapping[str, Array], attached: bool = True) -> LiveModel:
    """Return how the live model differs from its masks; what cannot be read is a note.

    With weights in shards this is what this process holds; no other one is asked, so that
    one process alone may print a report.
    """
    weights = {weight.spec.name: weight for weight in binding.weights}
    if not attached:
        return _read_each(weights, masks, {})
    changes = changes_of(binding)
    try:
        counts = binding.nonzero_pruned()
    except Exception:  # whatever a framework raises for a model that was taken apart
        counts = None
    return _read_each(weights, masks, changes) if counts is None else LiveModel(counts, changes)


def changes_of(binding: Binding) -> dict[str, str]:
    """Return the notes on what the live model no longer has as it was bound."""
    try:
        return dict(binding.model_changes())
    except Exception as error:  # as in `look`
        return {"": f"the model can no longer be compared with its plan: {_cause(error)}"}


def _read_each(
    weights: Mapping[str, Weight], masks: Mapping[str, Array], changes: Mapping[str, str]
) -> LiveModel:
    nonzero: dict[str, int] = {}
    unread: dict[str, str] = {}
    for name, mask in masks.items():
        if name in changes:
            continue
        try:
            values = weights[name].read()
            if values.shape != mask.shape:
                raise ValueError(f"its shape is {values.shape}, and the mask's {mask.shape}")
            nonzero[name] = int(np.count_nonzero((values != 0) & ~mask))
        except Exception as error:  # as in `look`
            unread[name] = (
                f"{name} cannot be read any more, and counts as not pruned ({_cause(error)})"
            )
    counts = {name: count for name, count in nonzero.items() if count}
    return LiveModel(counts, {**changes, **unread})


def _cause(error: Exception) -> str:
    """Return what a framework raised, without the words for the adapter that it passed through."""
    return in_words(error.__cause__ or error, 200)


def schedule_notes(plan: Plan, state: RunState, updates: int | None) -> Iterator[str]:
    """Yield what is missing to the final sparsity, by what the masks hold.

    updates: those that the optimizer made since the pruner was attached; None if unknown.
    """
    if updates and not state.step:
        yield (
            f"the optimizer made {updates} updates and the schedule never moved: pass "
            "callbacks=[pruner.callback()] to model.fit(), or call pruner.step() after "
            "each update of your own training loop"
        )
    for rule in plan.rule_weights:
        if note := _shortfall(rule, state):
            yield f"rule {rule.rule}: {note}"


def emptied_notes(plan: Plan, kept: Mapping[str, int]) -> Iterator[str]:
    """Yield a note for each rule whose weights' own values leave nothing of some weights.

    Args:
        plan: The plan.
        kept: How many elements each mask keeps.

    """
    for rule in plan.rule_weights:
        if not rule.by_values or rule.method.keeps_zeros:
            continue
        empty = [spec.name for spec in rule.specs if spec.size and kept.get(spec.name) == 0]
        if empty:
            yield (
                f"rule {plan.policy.rule_label(rule.rule)}: its {rule.method.distribution.kind} "
                f"leaves nothing of {listed(empty, 3)}, so that all of it is pruned: lower it"
            )


def _shortfall(rule: RuleWeights, state: RunState) -> str | None:
    """Describe how far the masks of a rule are from its final sparsity, or None if they hold it."""
    method, final = rule.method, rule.method.schedule.final
    end = f"its final sparsity is {final:g}"
    if rule.by_values:
        end = f"it prunes {method.decided_by}"
    if when := state.schedules[rule.rule].waits_for:
        return f"waits for {when.monitor} to converge; {end}"
    reached = state.reached.get(rule.rule)
    is_late = _is_late(rule, state)
    if reached == final and not is_late:
        return None
    if reached is None:
        now = "has not begun"
    elif rule.by_values:
        now = f"has come to {method.share(reached):.4g} of its {method.distribution.kind}"
    else:
        now = f"has come to sparsity {reached:.4g}"
    note = f"the schedule {now} at step {state.step}; {end}"
    if is_late:
        note += (
            f"; an update of the masks that is due since step {state.evaluated + 1} failed, and is "
            "made up at the next step, or by pruner.step(0)"
        )
    return note


def _is_late(rule: RuleWeights, state: RunState) -> bool:
    """Return whether an update of the masks of a rule is due and was not made."""
    if state.evaluated == state.step:
        return False
    try:
        return due(state, rule) is not None
    except Exception:  # the schedule itself fails, which is why the update was not made
        return True
