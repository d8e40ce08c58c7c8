"""The training of one model: its optimizers, their updates, its compiled step and its record."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from secateur.errors import ModelError
from secateur_keras import optimizer_state
from secateur_keras.gradients import GradientStores
from secateur_keras.masking import MaskedVariables
from secateur_keras.updates import UpdateCounter, as_optimizers, moving_average


class Training:
    """What one fit() after another does to a model that is being pruned.

    Args:
        model: The model that is pruned; the one that is trained may contain it.

    Attributes:
        masked: The pruned variables of the model.
        gradients: The gradients of those that a criterion needs them of.
        model: The model that is pruned.
        trained: The model that fit() is called on.
        in_batch: Whether a batch was begun, and is not ended.
        gated: Whether `in_batch` is known before any callback acts at the end of a batch.
        is_counted: Whether the step to come is that of updates which the counter has counted.
        reloaded: Whether a checkpoint was loaded since the counter was last known to be right.
        catch_up: Brings the pruner up to date with the optimizer, before a state is saved.

    """

    def __init__(self, model: Any) -> None:
        self.masked = MaskedVariables()
        self.gradients = GradientStores({}, model)
        self.model = self.trained = model
        self.in_batch = self.gated = self.reloaded = self.is_counted = False
        self.catch_up: Callable[[], None] = _nothing
        self._given: tuple[Any, ...] = ()
        self._state_masks: dict[int, optimizer_state.OptimizerStateMasks] = {}
        self._counter = UpdateCounter(self.optimizers())
        self._is_masked_in_update = False
        self._is_fitting = False

    def optimizers(self) -> tuple[Any, ...]:
        """Return the optimizers whose updates are steps: those given, or the compiled one."""
        compiled = getattr(self.trained, "optimizer", None)
        return self._given or (() if compiled is None else (compiled,))

    def watch(self, optimizer: object | None) -> None:
        """Count the updates of these optimizers from now on; None means the compiled one.

        Raises:
            ModelError: It is not an optimizer of Keras.

        """
        self._given = () if optimizer is None else as_optimizers(optimizer)
        self._counter = UpdateCounter(self.optimizers())

    def updates(self) -> int:
        """Return how many updates were made since `watch`."""
        self.sync()
        return self._counter.total(self.optimizers())

    def pending(self) -> int:
        """Return how many updates were made and not counted; skipped ones are none."""
        self.sync()
        return self._counter.pending(self.optimizers())

    def restart_counter(self) -> None:
        """Count updates from here; a checkpoint may have set the optimizer forward or back."""
        self.sync()
        self._counter.restart(self.optimizers())
        self.reloaded = False

    def begin(self, trained: Any, catch_up: Callable[[], None]) -> int:
        """Begin a fit(), and return how many updates a fit() before it left uncounted.

        Args:
            trained: The model that fit() is called on.
            catch_up: Brings the pruner up to date with the optimizer, before a state is saved.

        Raises:
            ModelError: The model has no optimizer.

        """
        uncounted = self.left_uncounted()
        self.catch_up = catch_up
        self.in_batch, self._is_fitting = False, True
        if trained is not self.trained:
            self.trained = trained
            retrace(trained)
        if not self.optimizers():
            raise ModelError(
                f"{trained.name} has no optimizer whose updates could be counted; give "
                "optimizer= to secateur.attach (a list, where there are several), or call "
                "pruner.step() yourself"
            )
        self.gradients.forget()
        self.put_masks_into_optimizers()
        return uncounted

    def end(self) -> None:
        """End a fit()."""
        self.catch_up, self._is_fitting, self.in_batch = _nothing, False, False
        self.gradients.expect(True)  # a loop of the user's own may follow

    def end_epoch(self) -> None:
        """Forget what a batch did that was begun and found no data.

        On TensorFlow the optimizer's own counter moves in it, though no weight does.
        """
        if self.in_batch:
            self.in_batch = False
            self.restart_counter()
        self.sync()
        if self.masked.restore():
            self.record()

    def left_uncounted(self) -> int:
        """Return the updates of a batch in which an exception ended the last fit()."""
        if not self._is_fitting or self.reloaded:
            return 0
        updates, most = self.pending(), getattr(self.trained, "steps_per_execution", 1) or 1
        return updates if updates <= most else 0

    def note_on_interrupt(self) -> str | None:
        """Return a note if an exception ended the last fit() before its last update was counted."""
        updates = 0 if self._is_inside_fit() else self.left_uncounted()
        if not updates:
            return None
        return (
            f"fit() was interrupted after an update of the optimizer that is not counted yet, so "
            f"the state is {updates} behind the weights: the next fit() with pruner.callback() "
            f"counts it, or pruner.step({updates})"
        )

    def _is_inside_fit(self) -> bool:
        """Return whether fit() is among the callers, where the callback counts in a moment."""
        frame = sys._getframe(1)
        while frame is not None:
            if frame.f_locals.get("self") is self.trained and frame.f_code.co_name == "fit":
                return True
            frame = frame.f_back  # type: ignore[assignment]
        return False

    def mask_now(self) -> None:
        """Set pruned weights to +0.0, whatever changed them, and count updates from here."""
        self.restart_counter()
        self.enforce()

    def enforce(self) -> None:
        """Set pruned weights to +0.0, unless the update has done so."""
        if not self._is_masked_in_update:
            self.sync()
            self.masked.enforce()
            self.record()

    def nonzero_pruned(self) -> dict[str, int]:
        """Return how many values are nonzero where the masks prune, by weight name."""
        self.sync()
        return self.masked.nonzero_pruned()

    @contextlib.contextmanager
    def counted_step(self, untouched: bool) -> Iterator[None]:
        """Mark the step to come as one of counted updates, which Keras made.

        An update of Keras runs the constraints, so the weights are masked already; but a
        train_step of the user's own may change weights after that, and so may a callback.

        Args:
            untouched: Whether no callback can have changed the weights since the update.

        """
        has_masks = all(id(one) in self._state_masks for one in self.optimizers())
        is_plain = type(self.trained).train_step is keras.Model.train_step
        self._is_masked_in_update = (
            untouched and is_plain and (has_masks or not optimizer_state.needed())
        )
        self.is_counted = True
        try:
            yield
        finally:
            self._is_masked_in_update = self.is_counted = False

    def sync(self) -> None:
        """Bring variables up to date on JAX, where fit() keeps them outside the model."""
        for model in self._models():
            if hasattr(model, "jax_state_sync"):
                model.jax_state_sync()

    def record(self) -> None:
        """Make Keras on JAX record the variables as they are now.

        It puts its record back when it begins a batch and finds no data: what was changed after
        the last batch would be undone.
        """
        for model in self._models():
            state = getattr(model, "_jax_state", None)
            if state and getattr(model, "_jax_state_synced", False):
                model._jax_state = {part: _values(model, part, old) for part, old in state.items()}

    def put_masks_into_optimizers(self) -> None:
        """Let optimizers see the masks, and keep the gradients, in their compiled updates."""
        if self.gradients and optimizer_state.needed():
            self._build_optimizer()
        if self.gradients.hook(self.optimizers()):
            retrace(self.trained)
        known = self._state_masks
        new = [one for one in self.optimizers() if one.built and id(one) not in known]
        if new and optimizer_state.needed():
            masks = [*self.masked.masks, *self.gradients.variables]
            for one in new:
                known[id(one)] = optimizer_state.OptimizerStateMasks(one, masks)
            retrace(self.trained)

    def _build_optimizer(self) -> None:
        """Build the compiled optimizer, whose first update, in train_on_batch, is traced as others.

        Only what is part of a built optimizer's state can leave the update.
        """
        if not self._given:
            for one in self.optimizers():
                if not one.built:
                    one.build(self.trained.trainable_variables)

    def take_masks_from_optimizers(self) -> None:
        """Take the masks out of the state of all optimizers."""
        state_masks, self._state_masks = self._state_masks, {}
        with contextlib.ExitStack() as stack:  # all of them, even if one fails
            for each in state_masks.values():
                stack.callback(each.release)

    def average_of(self, variable: Any) -> Any:
        """Return the moving average that an optimizer keeps of a variable, or None."""
        found = (moving_average(one, variable) for one in self.optimizers())
        return next((average for average in found if average is not None), None)

    def _models(self) -> list[Any]:
        return [self.model] if self.trained is self.model else [self.model, self.trained]


def _nothing() -> None:
    pass


def _values(model: Any, part: str, old: Sequence[Any]) -> Sequence[Any]:
    """Return the values that variables of a part of the training state have now."""
    owner = model.optimizer if part == "optimizer_variables" else model
    variables = getattr(owner, "variables" if owner is not model else part, None)
    return old if variables is None else [variable.value for variable in variables]


def retrace(model: Any) -> None:
    """Throw away a train step that was compiled with other constraints."""
    if hasattr(model, "_record_training_state_sharding_spec"):
        # Keras before 3.12 on JAX looks at the optimizer's variables before callbacks begin
        model.jax_state_sync()
        model._record_training_state_sharding_spec()
    if getattr(model, "train_function", None) is not None:
        model.train_function = None
        model.make_train_function()  # fit() has called it already when callbacks begin
