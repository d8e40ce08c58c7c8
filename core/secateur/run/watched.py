"""The weights whose criteria watch training: their gradients and their memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from secateur.adapter import Binding, Weight
from secateur.errors import ModelError, StateError, listed
from secateur.layout import FLOATS, Array
from secateur.masks import memory as memories
from secateur.masks.gradients import Gradients
from secateur.run.checks import needs
from secateur.run.plan import Plan
from secateur.run.planned import RuleWeights
from secateur.run.run_state import RunState, is_over
from secateur.selection.component_errors import attributed


class WatchedWeights:
    """What the criteria of a plan need of a run.

    Args:
        plan: The plan.
        binding: The model, bound.

    Raises:
        ModelError: A criterion needs what the model cannot give.

    """

    def __init__(self, plan: Plan, binding: Binding) -> None:
        needs.check(plan, binding)
        self._plan, self._binding = plan, binding
        self._by_name = {weight.spec.name: weight for weight in binding.weights}
        self._needing: list[Weight] = [
            self._by_name[spec.name]
            for rule in plan.rule_weights
            if rule.needs_gradients
            for spec in rule.specs
        ]
        self._has_memory = any(rule.memory for rule in plan.rule_weights)
        self._is_watching = self._was_seen = False

    def begin(self, optimizer: object | None) -> None:
        """Let the binding keep the gradients that are needed.

        Args:
            optimizer: What `secateur.attach` was given.

        Raises:
            ModelError: The gradients can only be given by the caller, who is not asked.

        """
        if not self._needing:
            return
        self._is_watching = self._binding.watch_gradients(
            [weight.spec.name for weight in self._needing]
        )
        if optimizer is not None and not self._is_watching:
            raise ModelError(
                f"the {self._binding.adapter} adapter cannot read gradients from an optimizer, and "
                f"the criterion of {self._needing[0].spec.name} needs them: leave optimizer= out, "
                "and call pruner.step(gradients={name: array}) after each update"
            )

    def uses_gradients(self, state: RunState, updates: int) -> bool:
        """Return whether a criterion looks at the gradients of one of the next updates.

        Args:
            state: The state now.
            updates: How many updates to look ahead.

        """
        return any(
            rule.needs_gradients
            and not is_over(state, rule)
            and (not self._was_seen or bool(rule.memory) or _may_be_due(state, rule, updates))
            for rule in self._plan.rule_weights
        )

    def blank_memory(self) -> dict[str, memories.Memory]:
        """Return what the memory of criteria holds before the first update."""
        return {
            name: memory
            for rule in self._plan.rule_weights
            if rule.memory
            for name, memory in memories.blank(
                rule.memory, [self._by_name[spec.name] for spec in rule.specs]
            ).items()
        }

    def gradients(self, state: RunState, updates: int, given: Any) -> Gradients:
        """Return the gradients of the last of some updates that are about to be counted.

        Args:
            state: The state before.
            updates: How many updates were made.
            given: What the caller gave as gradients, or None.

        Raises:
            StateError: Several updates are reported at once, and a criterion looks at each.
            ModelError: A gradient is missing, or does not fit its weight.

        """
        self.check_at_once(updates)
        if not self._needing:
            return Gradients()
        if given is not None:
            found = Gradients(self._needing, self._fitted(given))
        elif self._is_watching:
            found = Gradients(self._needing)
        elif updates or min(state.evaluated, state.remembered) < state.step:
            raise ModelError(
                f"the criterion of {self._needing[0].spec.name} needs its gradient: pass "
                f"pruner.step(gradients={{{self._needing[0].spec.name!r}: array, ...}}), in "
                "canonical layout; nothing was changed"
            )
        else:
            return Gradients()
        if updates and not self._was_seen:
            found.require()  # at the first update, not when masks are due at last
            self._was_seen = True
        return found

    def check_at_once(self, updates: int) -> None:
        """Check that so many updates can be counted by one step.

        Raises:
            StateError: A criterion has a memory that takes in each of them.

        """
        if updates > 1 and self._has_memory:
            raise StateError(
                f"{updates} updates are reported at once, and a criterion of this policy has a "
                "memory that takes in each of them: call pruner.step() after every update (in "
                "Keras, compile with steps_per_execution=1)"
            )

    def _fitted(self, given: Any) -> dict[str, Array]:
        """Return gradients that the caller gave, by the names of the plan."""
        arrays = {str(name): value for name, value in self._binding.to_canonical(given).items()}
        names = {
            known: weight.spec.name
            for weight in self._needing
            for known in (weight.spec.name, *weight.spec.aliases)
        }
        found = {names[name]: np.asarray(value) for name, value in arrays.items() if name in names}
        missing = [each.spec.name for each in self._needing if each.spec.name not in found]
        if missing:
            raise ModelError(
                f"gradients= has none for {listed(missing, 3)}, which the criterion needs; it has "
                f"{listed(arrays, 8) or 'nothing'}"
            )
        for weight in self._needing:
            self._check(weight, found[weight.spec.name])
        return found

    def _check(self, weight: Weight, gradient: Array) -> None:
        shape = weight.read().shape
        if gradient.shape != shape or gradient.dtype.name not in FLOATS:
            raise ModelError(
                f"{weight.spec.name}: its gradient is {gradient.dtype} {gradient.shape}; wanted "
                f"floats of shape {shape}"
            )


def _may_be_due(state: RunState, rule: RuleWeights, updates: int) -> bool:
    """Return whether masks of a rule may be recomputed after one of the next updates."""
    schedule = state.schedules[rule.rule]
    if schedule.waits_for:
        return True
    with attributed(rule.method.schedule, state.step, [spec.name for spec in rule.specs]):
        upto = state.step + updates
        return schedule.running.last_update_between(state.evaluated, upto) is not None
