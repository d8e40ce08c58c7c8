"""A run on its way into a saved state, and out of one, whole or in shards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secateur.adapter import Binding
from secateur.errors import StateError, shown
from secateur.hooks.apply_masks import sparsities
from secateur.hooks.events import MasksUpdated
from secateur.masks import compute as mask_rules
from secateur.run.plan import Plan
from secateur.run.run_state import RunState
from secateur.run.saved import state as states
from secateur.run.saved.about import about
from secateur.run.saved.resume import check_policy, fitted_masks, resumed
from secateur.run.saved.sharded_state import ShardedMasks
from secateur.run.saved.state import State

Resumed = tuple[RunState, MasksUpdated]
"""The state that a run resumes at, and what its observers are told."""


class Saving:
    """Saves the state of a run of one plan on one model, and reads such states.

    Args:
        plan: The plan.
        binding: The model, bound.

    """

    def __init__(self, plan: Plan, binding: Binding) -> None:
        self._plan, self._binding = plan, binding
        is_sharded = any(weight.sharded for weight in binding.weights)
        self._shards = ShardedMasks(binding, binding.workers) if is_sharded else None
        self._unpack = self._shards.unpack if self._shards else None
        self._place = self._shards.place if self._shards else None

    def to_native(self, run: RunState) -> dict[str, Any]:
        """Return the state as arrays of the framework, for its own checkpoints."""
        state = self._state_of(run)
        if self._shards is not None:
            return self._shards.native(state)
        return {key: self._binding.to_native(array) for key, array in state.to_arrays().items()}

    def write(self, run: RunState, path: Path) -> None:
        """Write the state to a file; with sharded weights the first process does.

        Raises:
            OSError: The file cannot be written.

        """
        state = self._state_of(run)
        arrays = state.to_arrays() if self._shards is None else self._shards.whole(state)
        if self._binding.workers.rank == 0:
            states.save({**arrays, **about(self._plan)}, path)

    def from_native(self, state: Mapping[str, Any]) -> Resumed:
        """Return what resumes from the arrays of `to_native`, whichever framework made them.

        Raises:
            StateError: They are no state, or one of another policy or model.

        """
        if not isinstance(state, Mapping):
            raise StateError(
                f"not a pruning state: {shown(state)}. Load what pruner.state_dict() returned."
            )
        arrays = {key: self._binding.from_native(value) for key, value in state.items()}
        return self._resumed(State.from_arrays(arrays, self._unpack, self._place))

    def read(self, path: Path) -> Resumed:
        """Return what resumes from a file of `write`.

        Raises:
            StateError: The file is missing, damaged or no state, or one of another policy or model.

        """
        return self._resumed(states.load(path, self._unpack, self._place))

    def _state_of(self, run: RunState) -> State:
        schedules = run.schedules
        whens = [schedule.schedule.begin_when for schedule in schedules.values()]
        return State(
            run.step,
            self._plan.policy.fingerprint,
            run.masks,
            {rule: each.began for rule, each in schedules.items() if each.began is not None},
            {rule: each.observed for rule, each in schedules.items() if each.observed},
            {
                spec.name: spec.shape
                for rule in self._plan.rule_weights
                for spec in rule.specs
                if spec.name not in run.masks
            },
            [2 * when.window for when in whens if when],
            run.evaluated if run.evaluated < run.step else None,
            memory=run.memory,
        )

    def _resumed(self, state: State) -> Resumed:
        check_policy(state, self._plan)
        is_sharded = self._shards is not None
        masks = fitted_masks(state, self._plan, is_sharded)
        kept = mask_rules.kept(masks, self._binding.workers)
        after = resumed(state, self._plan, masks, kept, is_sharded)
        fingerprint = self._plan.policy.fingerprint
        return after, MasksUpdated(state.step, masks, sparsities(masks), fingerprint, resumed=True)
