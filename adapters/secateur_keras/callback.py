"""The callback that moves the schedule during fit()."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import keras

from secateur.errors import ScheduleWarning, StateWarning

if TYPE_CHECKING:
    from secateur.adapter import AttachedPruner
    from secateur_keras.binding import KerasBinding


class PruningCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls ``pruner.step()`` after each batch, by as many updates as the optimizer made."""

    def __init__(self, pruner: AttachedPruner, binding: KerasBinding) -> None:
        super().__init__()
        self._pruner, self._binding = pruner, binding
        self._started = False
        self._batches = self._updates = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Bind the train step."""
        self._pruner.check_attached()
        self._binding.adopt(self.model, self.catch_up)
        self._started = False
        self._batches = self._updates = 0

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Start to count at the first batch, when every callback has loaded what it loads."""
        if not self._started or self._binding.reloaded:
            self._started = True
            self._binding.mask_now()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the schedule by the updates since the last batch."""
        self._batches += 1
        self._pruner.observe(**(logs or {}))
        self.catch_up()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Warn of a train step that updated nothing we could see, and of weights put back."""
        self._binding.adopted_ends()
        if names := list(self._binding.nonzero_pruned()):
            self._binding.mask_now()
            warnings.warn(
                f"pruned weights of {', '.join(names[:3])} were not zero at the end of "
                "fit(), and are now: another callback put back weights of an earlier step, when "
                "fewer were pruned, as EarlyStopping(restore_best_weights=True) does. Let it start "
                "when the schedule has ended: start_from_epoch=...",
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

    def catch_up(self) -> None:
        """Take the steps that the optimizer has made since the last look."""
        is_due = self._started and self._pruner.attached
        updates = self._binding.updates_since_last_look() if is_due else 0
        self._updates += updates
        if updates:
            with self._binding.updated_by_keras():
                self._pruner.step(updates=updates)
