"""The callback that moves the schedule during fit()."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras

from secateur.errors import ScheduleWarning, StateWarning
from secateur_keras.changes import check_fits, check_unchanged

if TYPE_CHECKING:
    from secateur.adapter import AttachedPruner
    from secateur_keras.training import Training
    from secateur_keras.weight import KerasWeight

BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")


class PruningCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls ``pruner.step()`` after each batch, by as many updates as the optimizer made.

    Args:
        pruner: The pruner.
        training: The training of its model.
        weights: The weights of its model.

    Attributes:
        weights: The weights of its model.

    """

    def __init__(
        self, pruner: AttachedPruner, training: Training, weights: Sequence[KerasWeight]
    ) -> None:
        super().__init__()
        self._drive(pruner, training, weights)

    def _drive(
        self, pruner: AttachedPruner, training: Training, weights: Sequence[KerasWeight]
    ) -> None:
        self._pruner, self._training, self.weights = pruner, training, weights
        self._others: list[Any] | None = None
        self._has_started = self._are_weights_touched = False
        self._batches = self._updates = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check that fit() trains the pruned weights, and prepare its compiled step."""
        self._pruner.check_attached()
        self._pruner.check_at_once(self.model.steps_per_execution or 1)
        check_fits(self.weights, self._training.masked.variables, self._training.model, self.model)
        check_unchanged(self.weights, self._training.masked.variables, self._training.model)
        callbacks, siblings = callback_list(sys._getframe(1)), None
        if callbacks is not None:
            callbacks._async_train = False  # Keras on JAX runs one that is in no list in a thread
            siblings = list(callbacks.callbacks)
        self._others = None if siblings is None else list(_others(siblings))
        self._are_weights_touched = self._others is None or any(map(_may_touch, self._others))
        self._training.gated = siblings is not None
        if siblings is not None and not any(isinstance(one, FirstCallback) for one in siblings):
            callbacks.callbacks = [FirstCallback(self._training), *siblings]
        uncounted = self._training.begin(self.model, self.catch_up)
        self._has_started = False
        self._batches = self._updates = 0
        self._step(uncounted)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Start to count at the first batch, when every callback has loaded what it loads."""
        if not self._has_started or self._training.reloaded:
            self._has_started = True
            self._training.mask_now()
        elif self._are_weights_touched and not self._training.masked.are_unchanged():
            self._training.enforce()
        if self._training.gradients:
            self._training.gradients.expect(self._uses_gradients())
        self._training.in_batch = True

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the schedule by the updates since the last batch."""
        self._training.in_batch = False
        self._batches += 1
        self._pruner.observe(**(logs or {}))
        self.catch_up()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Leave out the batch that found no data, when the data's length is not known."""
        self._training.end_epoch()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Warn if no optimizer update was seen, or if a callback restored pruned weights."""
        self._training.end_epoch()
        self._training.end()
        if names := list(self._training.nonzero_pruned()):
            self._training.mask_now()
            warnings.warn(
                f"pruned weights of {', '.join(names[:3])} were not zero at the end of fit(), and "
                f"are now: {_cause(self._others)}",
                StateWarning,
                stacklevel=2,
            )
        if self._batches and not self._updates and self._pruner.attached:
            warnings.warn(
                f"{self._batches} batches were trained and the optimizer made no update, so "
                "the pruning schedule did not move. If train_step updates by other means, give "
                "its optimizers to secateur.attach(optimizer=...) or call pruner.step() itself.",
                ScheduleWarning,
                stacklevel=2,
            )

    def _uses_gradients(self) -> bool:
        """Return whether the gradients of the batch to come may be used."""
        is_plain = type(self.model).train_step is keras.Model.train_step
        return not is_plain or self._pruner.uses_gradients(self.model.steps_per_execution or 1)

    def catch_up(self) -> None:
        """Take the steps that the optimizer has made since the last look."""
        if self._has_started and not (self._training.gated and self._training.in_batch):
            self._step(self._training.pending() if self._pruner.attached else 0)

    def _step(self, updates: int) -> None:
        self._updates += updates
        if not updates:
            return
        before = self._pruner.current_step
        try:
            with self._training.counted_step(untouched=not self._are_weights_touched):
                self._pruner.step(updates=updates)
        finally:  # an interrupt may come before the pruner counts them
            if self._pruner.current_step != before:
                self._training.restart_counter()


class FirstCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Stands before all other callbacks of a fit(), to know when a batch is over.

    Args:
        training: The training of the model that is pruned.

    """

    def __init__(self, training: Training) -> None:
        super().__init__()
        self._training = training

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Note that the updates of this batch are made."""
        self._training.in_batch = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Leave out the batch that found no data, before any callback saves."""
        self._training.end_epoch()


def callback_list(frame: Any) -> Any:
    """Return the list of callbacks that calls this one, as Keras tells no callback of it.

    Args:
        frame: What calls this callback: the list, or a callback that passes the call on.

    """
    callers = (each.f_locals.get("self") for each in (frame, frame.f_back) if each is not None)
    return next((one for one in callers if isinstance(one, keras.callbacks.CallbackList)), None)


def _others(callbacks: Sequence[Any]) -> Iterator[Any]:
    ours = (PruningCallback, FirstCallback)
    return (one for one in callbacks if not isinstance(one, ours))


def _may_touch(callback: Any) -> bool:
    """Return whether a callback may change weights between two batches.

    Keras's own do not; one that declares itself ``async_safe`` does not look at the model.
    """
    is_custom = isinstance(callback, keras.callbacks.LambdaCallback)
    if getattr(callback, "async_safe", False):
        return False
    if type(callback).__module__.startswith("keras.") and not is_custom:
        return False
    hooks = (getattr(callback, name) for name in BATCH_HOOKS)
    return not all(getattr(hook, "_is_default", False) for hook in hooks)


def _cause(others: Sequence[Any] | None) -> str:
    """Return what most likely changed weights after the last step, and what to do."""
    early = keras.callbacks.EarlyStopping
    stopped = others is None or any(
        isinstance(one, early) and one.restore_best_weights and one.best_weights is not None
        for one in others
    )
    if stopped:
        return (
            "another callback put back weights of an earlier step, when fewer were pruned, as "
            "EarlyStopping(restore_best_weights=True) does. Let it start when the schedule has "
            "ended: start_from_epoch=..."
        )
    custom = [type(one).__name__ for one in others or () if not _is_of_keras(one)]
    named = f" ({', '.join(custom[:3])})" if custom else ""
    return (
        f"another callback{named} changed weights after the last update. Put it before "
        "pruner.callback() in the list, or call pruner.step(0) after the change"
    )


def _is_of_keras(callback: Any) -> bool:
    return type(callback).__module__.startswith("keras.")
