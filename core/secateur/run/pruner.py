"""The live handle on a model under pruning: the one place where state changes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from secateur.adapter import Binding, Weight
from secateur.errors import ScheduleWarning, StateError, StateWarning
from secateur.hooks.events import MasksUpdated
from secateur.layout import Array
from secateur.masks import compute as mask_rules
from secateur.run import report as reports
from secateur.run import state as states
from secateur.run.apply_masks import apply_masks, sparsities
from secateur.run.plan import Plan, RuleWeights
from secateur.run.report import Masks, Report
from secateur.run.schedule_state import ScheduleState
from secateur.run.sharded_state import ShardedMasks
from secateur.run.state import State
from secateur.selection.component_errors import attributed, component_error


class Pruner:
    """Keeps a model's weights masked, and moves its schedules; `secateur.attach` makes it.

    `plan` says what will happen to each weight; `current_step` counts the optimizer updates
    finished.
    """

    def __init__(self, binding: Binding, plan: Plan) -> None:
        self.plan = plan
        self.current_step = 0
        self._binding = binding
        self._weights = {weight.spec.name: weight for weight in binding.weights}
        self._shards = (
            ShardedMasks(binding, binding.workers)
            if any(weight.sharded for weight in binding.weights)
            else None
        )
        self._unpack = self._shards.unpack if self._shards else None
        self._schedules = {
            group.rule: ScheduleState(group.method.schedule) for group in plan.rule_weights
        }
        self._masks: dict[str, Array] = {}
        self._kept: dict[str, int] = {}
        self._detached = False

    def __repr__(self) -> str:
        return (
            f"<Pruner of {len(self._weights)} weights, step {self.current_step}, "
            f"sparsity {self._report().sparsity:.4f}>"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a pruner belongs to one model and cannot be copied or pickled; copy or save its "
            "state_dict(), and attach to the other model"
        )

    @property
    def masks(self) -> Masks:
        """The masks in force, by weight name: bool, canonical, True = kept, read-only.

        A weight whose schedule has not begun has none yet.  Of sharded weights this is what
        this worker holds, flat.
        """
        return self._report().masks

    def start(self, optimizer: object | None = None) -> None:
        """Follow the model's optimizer, and evaluate step 0; an error leaves no hook behind."""
        try:
            self._binding.watch_optimizer(self, optimizer)
            self._update(before=-1)
        except BaseException:
            self._binding.release()
            raise

    def step(self, updates: int = 1) -> None:
        """Take note that the optimizer has made `updates` updates.

        Pruned weights are set to zero by the masks in force, the step moves on, and masks
        that are due are computed and applied; of several steps reported at once, the latest
        due one is carried out; ``step(0)`` masks weights that were loaded.  In PyTorch an
        optimizer given to `attach`, and in Keras the callback, calls this for you.
        Raises WeightError for a NaN or infinity in a weight, PluginError when a plugin
        fails, StateError when detached; the masks and the weights are then as they were.
        """
        self.check_attached()
        if updates < 0:
            raise StateError(f"step(updates={updates}): steps only go on; load a state to go back")
        self._binding.enforce()
        before = self.current_step
        self.current_step += updates
        self._update(before)

    def observe(self, **values: float) -> None:
        """Tell what schedules with ``begin_when`` monitor, such as ``loss=0.3``.

        Call it once per update, before `step`; in Keras the callback does it for you.  With
        sharded weights all workers call it, and what they see is averaged.
        """
        workers, names = self._binding.workers, sorted(values)
        sums = workers.total(np.array([values[name] for name in names], np.float64))
        values = dict(zip(names, (sums / workers.count).tolist(), strict=True))
        self._schedules = {rule: state.observe(values) for rule, state in self._schedules.items()}

    def callback(self) -> Any:
        """Return the Keras callback that moves the schedule, for ``model.fit(callbacks=[...])``."""
        self.check_attached()
        return self._binding.callback(self)

    def include(self, average: Any) -> None:
        """Keep an average of the model masked too, such as PyTorch's `AveragedModel`.

        Raises ModelError when it is not an average of this model; nothing is changed then.
        """
        self.check_attached()
        self._binding.include(average, self._masks)

    def report(self) -> Report:
        """Return what the run has come to: sparsity by weight, masks, notes."""
        return self._report((*self._notes(), *self._nonzero_notes()))

    def _report(self, notes: tuple[str, ...] = ()) -> Report:
        return reports.make(self.plan, self.current_step, self._masks, notes, self._kept)

    def detach(self) -> None:
        """Take every hook off the model.  Pruned weights stay zero until they are trained on.

        Masks, report and state stay as they are, to be read and saved.
        Warns when a schedule has not reached its final sparsity (ScheduleWarning), or pruned
        weights are not zero (StateWarning).
        """
        nonzero_pruned = list(self._nonzero_notes())
        self._binding.release()
        self._detached = True
        for note in self._notes():
            warnings.warn(note, ScheduleWarning, stacklevel=2)
        for note in nonzero_pruned:
            warnings.warn(note, StateWarning, stacklevel=2)

    @property
    def pruned_weights(self) -> tuple[str, ...]:
        """The names of the weights that the plan prunes, rule by rule."""
        return tuple(spec.name for rule in self.plan.rule_weights for spec in rule.specs)

    @property
    def attached(self) -> bool:
        """Whether the pruner still holds its model: until `detach`."""
        return not self._detached

    def check_attached(self) -> None:
        """Raise StateError when the pruner was detached."""
        if not self.attached:
            raise StateError(
                "this pruner was detached from its model, and holds nothing any more; make "
                "another one by secateur.attach(model, policy)"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the state as a flat mapping of name to array, for any checkpoint."""
        self._warn_if_forgotten()
        if self._shards is not None:
            return self._shards.native(self._state())
        return {k: self._binding.to_native(v) for k, v in self._state().to_arrays().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of `state_dict`, from either framework.

        Raises StateError when it belongs to another policy or model; nothing is changed then.
        """
        arrays = {key: self._binding.from_native(value) for key, value in state.items()}
        self._resume(State.from_arrays(arrays, self._unpack))

    def save(self, path: str | Path) -> None:
        """Write the state to one .npz file that either framework can load.

        With sharded weights all workers call it, and the first one writes.
        """
        self._warn_if_forgotten()
        state, shards, workers = self._state(), self._shards, self._binding.workers
        arrays = state.to_arrays() if shards is None else shards.whole(state)
        if workers.rank == 0:
            states.save(arrays, Path(path))

    def load(self, path: str | Path) -> None:
        """Go on from a file of `save`.  Raises StateError as `load_state_dict` does."""
        self._resume(states.load(Path(path), self._unpack))

    def _notes(self) -> Iterator[str]:
        made = self._binding.updates()
        if made and not self.current_step:
            yield (
                f"the optimizer made {made} updates and the schedule never moved: pass "
                "callbacks=[pruner.callback()] to model.fit(), or call pruner.step() after "
                "each update of your own training loop"
            )
        for group in self.plan.rule_weights:
            with attributed(
                group.method.schedule, self.current_step, [s.name for s in group.specs]
            ):
                left = self._schedules[group.rule].shortfall(self.current_step)
            if left:
                yield f"rule {group.rule}: {left}"

    def _nonzero_notes(self) -> Iterator[str]:
        if names := self._binding.nonzero_pruned():
            yield (
                f"pruned values of {', '.join(list(names)[:3])} are not zero: after the last step "
                "weights were put in place, as load_state_dict, set_weights or "
                "EarlyStopping(restore_best_weights=True) does, or updated by an optimizer that "
                "attach() was not given; pruner.step(0) masks them"
            )

    def _warn_if_forgotten(self) -> None:
        if not self.current_step and (notes := list(self._notes())) and self._binding.updates():
            warnings.warn(notes[0], ScheduleWarning, stacklevel=3)

    def _update(self, before: int) -> None:
        self._schedules = {
            rule: state.at(self.current_step) for rule, state in self._schedules.items()
        }
        fresh: dict[str, Array] = {}
        targets: dict[str, float] = {}
        for group in self.plan.rule_weights:
            scheduled = self._due(group, before)
            if scheduled is not None:
                target = group.method.target(scheduled)
                masks = self._compute(group, target)
                fresh |= masks
                targets |= dict.fromkeys(masks, target)
        if fresh:
            self._apply(self._masks | fresh, fresh, targets, self.current_step)

    def _due(self, group: RuleWeights, before: int) -> float | None:
        schedule, names = group.method.schedule, [spec.name for spec in group.specs]
        with attributed(schedule, self.current_step, names):
            scheduled = self._schedules[group.rule].due(before, self.current_step)
        if scheduled is not None and not 0 <= scheduled <= 1:
            gave = f"gave sparsity {scheduled}; wanted 0 to 1"
            raise component_error(schedule, self.current_step, names, gave)
        return scheduled

    def _compute(self, group: RuleWeights, target: float) -> dict[str, Array]:
        weights: list[Weight] = [self._weights[spec.name] for spec in group.specs]
        return mask_rules.compute(
            group.method, weights, target, self.current_step, self._masks, self._binding.workers
        )

    def _apply(
        self,
        masks: dict[str, Array],
        fresh: Mapping[str, Array],
        targets: Mapping[str, float],
        step: int,
    ) -> None:
        kept = mask_rules.kept(masks, self._binding.workers)
        event = MasksUpdated(step, fresh, targets, self.plan.policy.fingerprint)
        apply_masks(self._binding, masks, event)
        self._masks, self._kept = dict(self._binding.applied_masks(masks)), kept

    def _state(self) -> State:
        return State(
            self.current_step,
            self.plan.policy.fingerprint,
            self._masks,
            {r: state.began for r, state in self._schedules.items() if state.began is not None},
            {r: state.observed for r, state in self._schedules.items() if state.observed},
            {
                spec.name: spec.shape
                for group in self.plan.rule_weights
                for spec in group.specs
                if spec.name not in self._masks
            },
            [2 * when.window for c in self._schedules.values() if (when := c.schedule.begin_when)],
        )

    def _resume(self, state: State) -> None:
        self.check_attached()
        if state.fingerprint != self.plan.policy.fingerprint:
            raise StateError(
                f"the state was saved under policy {state.fingerprint[:12]}, and this pruner "
                f"runs {self.plan.policy.fingerprint[:12]}; attach with the policy of that run"
            )
        masks = self._fitted(state.masks)
        self._apply(masks, masks, sparsities(masks), state.step)
        self.current_step = state.step
        self._schedules = {
            group.rule: ScheduleState(
                group.method.schedule,
                state.observed.get(group.rule, ()),
                state.began.get(group.rule),
            )
            for group in self.plan.rule_weights
        }

    def _fitted(self, masks: Mapping[str, Array]) -> dict[str, Array]:
        """Return saved masks under this model's names.  Raises StateError for misfits."""
        specs = {spec.name: spec for group in self.plan.rule_weights for spec in group.specs}
        names = {alias: spec.name for spec in specs.values() for alias in spec.aliases}
        fitted: dict[str, Array] = {}
        for saved, mask in masks.items():
            name = saved if saved in specs else names.get(saved, saved)
            if name not in specs or (not self._shards and mask.shape != specs[name].shape):
                have = ", ".join(f"{spec.name} {spec.shape}" for spec in specs.values())
                raise StateError(
                    f"the state has a mask of shape {mask.shape} for {saved!r}, which does not "
                    f"fit this plan; it prunes: {have}. Names that a framework makes up may differ "
                    "from model to model: give the layers names of their own"
                )
            fitted[name] = mask
        return fitted
