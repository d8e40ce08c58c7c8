"""The live handle on a model under pruning: the one place where state changes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np

from secateur.adapter import Binding
from secateur.errors import ModelError, ScheduleWarning, StateError, StateWarning, shown
from secateur.hooks.apply_masks import apply_masks
from secateur.hooks.at_work import Observer
from secateur.hooks.events import MasksUpdated
from secateur.masks.gradients import Gradients
from secateur.run.arguments import number_of_updates, observed_numbers, path_of
from secateur.run.checks import claims, kept_zeros, sparse_start
from secateur.run.checks.live import emptied_notes, look, schedule_notes
from secateur.run.plan import Plan
from secateur.run.report import Masks, Report, make_report, named_masks
from secateur.run.rewinding import rewound
from secateur.run.run_state import RunState, begin_schedules, evaluate, remember
from secateur.run.saved.saving import Saving
from secateur.run.watched import WatchedWeights
from secateur.tables import Paragraph, as_html


class Pruner:
    """Keeps a model's weights masked, and moves its schedules; `secateur.attach` makes it.

    Args:
        binding: The model, bound.
        plan: The plan for it.
        observers: The observers of this run.

    Attributes:
        plan: What will happen to each weight.

    Example:
        >>> import secateur
        >>> weights = {"fc": np.arange(1.0, 9.0).reshape(2, 4)}
        >>> schedule = {"kind": "one_shot", "final_sparsity": 0.5, "begin_step": 1}
        >>> pruner = secateur.attach(weights, {"schedule": schedule})
        >>> pruner.step()
        >>> pruner
        <Pruner of 1 weights, step 1, sparsity 0.5000>
        >>> pruner.detach()

    """

    def __init__(self, binding: Binding, plan: Plan, observers: Sequence[Observer] = ()) -> None:
        self.plan = plan
        self._observers = observers
        self._run = plan.observed(binding.weights)
        self._binding = binding
        self._weights = {weight.spec.name: weight for weight in binding.weights}
        self._saving = Saving(plan, binding)
        whens = [rule.method.schedule.begin_when for rule in plan.rule_weights]
        self._monitored = {when.monitor for when in whens if when}
        self._state = RunState.of(plan)
        self._watched = WatchedWeights(plan, binding)

    def __repr__(self) -> str:
        count, sparsity = len(self.plan.weights), self._state.sparsity(self.plan)
        return f"<Pruner of {count} weights, step {self.current_step}, sparsity {sparsity:.4f}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: what the run has come to."""
        view = [Paragraph([repr(self).strip("<>")], "result"), *self.report().view()]
        return as_html(view, "Pruner")

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a pruner belongs to one model and cannot be copied or pickled; copy or save its "
            "state_dict(), and attach to the other model"
        )

    @property
    def current_step(self) -> int:
        """The number of optimizer updates finished; one that is set is where schedules go on."""
        return self._state.step

    @current_step.setter
    def current_step(self, step: int) -> None:
        step = number_of_updates(step, after=0)
        self._state = replace(self._state, step=step, evaluated=step, remembered=step)

    @property
    def masks(self) -> Masks:
        """The current masks, by weight name: bool, canonical, True = kept, read-only.

        A weight whose schedule has not begun has none yet. Of sharded weights this is what
        this process holds, flat.
        """
        return named_masks(self.plan, self._state.masks)

    @property
    def revived(self) -> Masks:
        """Where pruned values came back at the last step, by weight name: bool, canonical.

        They start from +0.0, and the moments that an optimizer keeps of them are cleared: by the
        adapter where it knows the optimizer, else by the training loop, which reads this after
        each `step`.  Empty at most steps, and under policies by which nothing comes back.
        """
        return named_masks(self.plan, self._state.revived)

    @property
    def pruned_weights(self) -> tuple[str, ...]:
        """The names of the weights that the plan prunes, rule by rule."""
        return tuple(spec.name for rule in self.plan.rule_weights for spec in rule.specs)

    @property
    def attached(self) -> bool:
        """Whether the pruner still drives its model: until `detach`."""
        return self._state.attached

    def start(self, optimizer: object | None = None) -> Self:
        """Watch the model's optimizer and evaluate step 0; `secateur.attach` calls this.

        Args:
            optimizer: What `secateur.attach` was given.

        Returns:
            The pruner. After an error nothing is hooked or claimed.

        Raises:
            ModelError: Another pruner prunes one of the weights, or the optimizer cannot be
                watched.
            WeightError: A weight holds a NaN or infinity.
            PluginError: A part of the policy failed.

        """
        weights = {name: self._weights[name] for name in self.pruned_weights}
        try:
            claims.claim(self, weights.values())
            note, may_be_resumed = sparse_start.before_training(self.plan, weights)
            find = kept_zeros.in_weights(weights, self._binding.workers)
            zeros = kept_zeros.check(self.plan, find)
            self._watched.begin(optimizer)
            self._binding.watch_optimizer(self, optimizer)
            self._state = replace(self._state, memory=self._watched.blank_memory())
            self._catch_up(Gradients())
            later = [note, *zeros.later] if may_be_resumed else zeros.later
            now = zeros.now if may_be_resumed else (note, *zeros.now)
            for each in filter(None, now):
                warnings.warn(each, StateWarning, stacklevel=3)
            # a state may be loaded next
            self._state = replace(self._state, note="; ".join(filter(None, later)))
            return self
        except BaseException:
            self._let_go()
            raise

    def step(self, updates: int = 1, *, gradients: Any = None) -> None:
        """Advance by `updates` optimizer updates.

        Pruned weights are set to zero by the current masks, the step moves on, and masks that
        are due are computed and applied. Of several updates reported at once, the latest due
        one is carried out; ``step(0)`` masks weights that were loaded. In PyTorch an optimizer
        given to `attach`, and in Keras the callback, calls this for you.

        After an error the step has moved on, for the optimizer did make its update; the masks
        are as they were, and the update of the masks stays due: the next step makes it up, or
        ``step(0)``.

        Args:
            updates: The number of optimizer updates finished since the last call.
            gradients: The gradients of the last update, for criteria that need them: a mapping
                of weight name to array in canonical layout, or in Flax what `nnx.grad` returned.
                In PyTorch and Keras they are found without it.

        Raises:
            WeightError: A weight, or a gradient that is needed, holds a NaN or infinity.
            PluginError: A plugin failed.
            ModelError: The weights cannot be masked here, or a gradient is missing; the step has
                not moved on.
            StateError: The pruner was detached, or `updates` is no number of updates.

        """
        self.check_attached()
        updates = number_of_updates(updates, self.current_step)
        found = self._watched.gradients(self._state, updates, gradients)
        before = self._state
        self._state = replace(before, step=before.step + updates, note="", revived={})
        try:
            self._binding.enforce()
        except ModelError:  # the call itself is refused, as inside a step that is being compiled
            self._state = before
            raise
        self._catch_up(found)
        if before.note:
            warnings.warn(before.note, StateWarning, stacklevel=2)

    def uses_gradients(self, updates: int = 1) -> bool:
        """Return whether a criterion looks at the gradients of one of the next updates.

        Adapters ask, so that they keep gradients only then. A criterion with memory looks at
        those of every update, others when masks are recomputed.

        Args:
            updates: How many updates to look ahead.

        """
        return self._watched.uses_gradients(self._state, updates)

    def observe(self, **values: float) -> None:
        """Record the metric values that `begin_when` schedules monitor.

        Call it once per update, before `step`; in Keras the callback does it for you. With
        sharded weights all processes call it, and what they see is averaged.

        Args:
            **values: The values by the name that ``begin_when`` gives, such as ``loss=0.3``; others
                are left out. With a NaN or infinity among those that it compares, a schedule
                goes on waiting.

        Raises:
            StateError: A value is not a number.

        """
        numbers = observed_numbers(values, self._monitored)
        monitored = [name for name in numbers if name in self._monitored]
        if not monitored:
            return
        workers = self._binding.workers
        sums = workers.total(np.array([numbers[name] for name in monitored], np.float64))
        means = dict(zip(monitored, (sums / workers.count).tolist(), strict=True))
        self._state = self._state.observe(means)

    def callback(self) -> Any:
        """Return the Keras callback that moves the schedule, for ``model.fit(callbacks=[...])``.

        Raises:
            ModelError: The framework has no callbacks.
            StateError: The pruner was detached.

        """
        self.check_attached()
        return self._binding.callback(self)

    def include(self, average: Any) -> None:
        """Keep an average of the model masked too, such as PyTorch's `AveragedModel`.

        Args:
            average: The average of the model's weights.

        Raises:
            ModelError: It is not an average of this model; nothing is changed then.
            StateError: The pruner was detached.

        """
        self.check_attached()
        self._binding.include(average, self._state.masks)

    def report(self) -> Report:
        """Return what the run has come to, counted from the live model: figures, masks, notes.

        A weight counts as pruned where its mask prunes it and it is zero. A weight that the model
        no longer has as it was attached counts as not pruned, and a note says so. Of sharded
        weights, this process looks at what it holds itself.

        Returns:
            The report.

        """
        state = self._state
        live = look(self._binding, state.masks, state.attached)
        return make_report(
            self.plan,
            state.step,
            state.masks,
            state.kept,
            live,
            (
                *self._schedule_notes(),
                *emptied_notes(self.plan, state.kept),
                *filter(None, [state.note]),
                *live.notes(state.attached),
            ),
            self._binding.tensors,
        )

    def detach(self) -> None:
        """Remove every hook from the model. Pruned weights stay zero until they are trained.

        Masks, report and state remain, to be read and saved. Nothing keeps the pruner from
        letting go: what cannot be read any more is said in a warning.

        Warns:
            ScheduleWarning: A schedule has not reached its final sparsity.
            StateWarning: Pruned weights are not zero, or the model has changed.

        """
        if not self.attached:
            self._let_go()  # an interrupt may have kept an earlier call from all of it
            return
        try:
            shortfalls = list(self._schedule_notes())
            live = look(self._binding, self._state.masks)
        finally:
            failure = self._let_go()
        for note in shortfalls:
            warnings.warn(note, ScheduleWarning, stacklevel=2)
        for note in (*live.notes(detaching=True), *filter(None, [failure])):
            warnings.warn(note, StateWarning, stacklevel=2)

    def check_attached(self) -> None:
        """Check that the pruner still drives its model.

        Raises:
            StateError: It was detached.

        """
        if not self.attached:
            raise StateError(
                "this pruner was detached from its model, and no longer masks it; make "
                "another one by secateur.attach(model, policy)"
            )

    def check_at_once(self, updates: int) -> None:
        """Check that so many updates can be counted by one `step`.

        Args:
            updates: How many the framework makes before it can call `step`.

        Raises:
            StateError: A criterion has a memory that takes in each of them.

        """
        self._watched.check_at_once(updates)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as a flat mapping of name to array, for any checkpoint.

        Returns:
            The step, the masks packed to bits, and what schedules wait for; the arrays are the
            framework's own where its checkpoints need that.

        Warns:
            StateWarning: Pruned weights are not zero, or the model has changed.

        """
        self._warn_before_saving()
        return self._saving.to_native(self._state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a `state_dict`, whichever framework saved it.

        Args:
            state: What `state_dict` returned.

        Raises:
            StateError: It is no state, or belongs to another policy or model; nothing is changed
                then.

        """
        self.check_attached()
        self._apply(*self._saving.from_native(state))

    def save(self, path: str | Path) -> None:
        """Write the state to one .npz file that every framework can load.

        With sharded weights all processes call it, and the first one writes.

        Args:
            path: The file; one that is there is replaced once the new one is complete.

        Raises:
            OSError: The file cannot be written.
            StateError: `path` is no path.

        Warns:
            StateWarning: Pruned weights are not zero, or the model has changed.

        """
        target = path_of(path)
        self._warn_before_saving()
        self._saving.write(self._state, target)

    def load(self, path: str | Path) -> None:
        """Resume from a file of `save`.

        Args:
            path: The file.

        Raises:
            StateError: The file is missing, damaged or no state, or the state belongs to another
                policy or model; nothing is changed then.

        """
        self.check_attached()
        self._apply(*self._saving.read(path_of(path)))

    def rewind(self, weights: Any) -> None:
        """Put the weights of an earlier step under the present masks, to train them again.

        This is what the lottery ticket hypothesis asks for (Frankle and Carbin 2019; Frankle et
        al. 2020 for steps after the first).  The step, the schedules and the optimizer stay as
        they are: make a new optimizer, or load its state of that step.

        Args:
            weights: The weights: a model of the same architecture that holds them; or a mapping
                of name to array; or the path of a .npz or .safetensors file of such arrays.  A
                weight's name, such as ``fc:kernel``, means its canonical layout; the name that
                the framework gives a tensor, such as ``fc.weight`` of a state dict, means the
                framework's own layout, and may be of a bias or a statistic, too; a mapping inside
                a mapping, such as an `nnx.State`, is read by its paths.  Every weight
                that is pruned must be among them; what else is not stays as it is.

        Raises:
            ModelError: A name is missing or not known, or an array has another shape or dtype
                than in the model; nothing is changed then.
            WeightError: A weight holds a NaN or infinity; nothing is changed then.
            StateError: The pruner was detached.

        Example:
            >>> import secateur
            >>> weights = {"fc": np.arange(1.0, 5.0).reshape(2, 2)}
            >>> early = weights["fc"].copy()
            >>> schedule = {"kind": "one_shot", "final_sparsity": 0.5, "begin_step": 1}
            >>> pruner = secateur.attach(weights, {"schedule": schedule})
            >>> weights["fc"] *= -1
            >>> pruner.step()
            >>> pruner.rewind({"fc": early})
            >>> weights["fc"].tolist()
            [[0.0, 0.0], [3.0, 4.0]]

        """
        self.check_attached()
        for write in rewound(self._binding, self.pruned_weights, weights):
            write()
        self._binding.enforce()

    def _catch_up(self, gradients: Gradients) -> None:
        """Make the update of the masks that is due, if one is."""
        # that a schedule has begun stays true when its first masks cannot be computed
        self._state = begin_schedules(self._state, self.plan)
        workers = self._binding.workers
        self._state = remember(self._state, self.plan, self._weights, workers, gradients)
        after, event = evaluate(self._state, self.plan, self._weights, workers, gradients)
        if event is None:
            self._state = after
        else:
            self._apply(after, event)

    def _apply(self, after: RunState, event: MasksUpdated) -> None:
        """Apply the masks of a new state and take it on: both or, after an error, neither."""
        try:
            apply_masks(self._binding, after.masks, replace(event, run=self._run), self._observers)
            if after.revived:
                self._binding.clear_moments(after.revived)
            applied = dict(self._binding.applied_masks(after.masks))
            self._state = replace(after, masks=applied)
        except BaseException:
            with suppress(Exception):  # the first error counts
                self._binding.apply(self._state.masks)
            raise

    def _let_go(self) -> str:
        """Remove every hook and claim; return what could not be removed, "" for nothing."""
        try:
            return self._release()
        except BaseException:  # an interrupt: all the more
            self._release()
            raise

    def _release(self) -> str:
        failure = ""
        try:
            self._binding.release()
        except Exception as error:  # whatever a framework raises for a model that was taken apart
            failure = (
                f"the pruner let go of its model, which raised {shown(error.__cause__ or error)}"
            )
        self._state = replace(self._state, attached=False, note="")
        claims.drop(self)
        return failure

    def _schedule_notes(self) -> Iterator[str]:
        try:
            updates = self._binding.updates() if self.attached else None
        except Exception:  # as in `_release`
            updates = None
        return schedule_notes(self.plan, self._state, updates)

    def _warn_before_saving(self) -> None:
        """Warn of a state that is not what the model holds."""
        if not self.attached:
            return
        if not self.current_step and self._binding.updates():
            for note in [*self._schedule_notes()][:1]:
                warnings.warn(note, ScheduleWarning, stacklevel=3)
        for note in look(self._binding, self._state.masks).notes():
            warnings.warn(note, StateWarning, stacklevel=3)
