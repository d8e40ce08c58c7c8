"""The callback that prunes a marked model, in fit() and in custom loops."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import keras

from secateur.errors import PolicyWarning
from secateur_keras.callback import PruningCallback, callback_list
from secateur_keras.tfmot.run import Run, begin


class UpdatePruningStep(PruningCallback):
    """Prunes a model that `prune_low_magnitude` marked; needed in every training of one.

    In a custom loop, call `set_model` and `on_train_begin`, then `on_train_batch_begin`
    before each batch and `on_epoch_end` after each epoch. Updates are those of
    ``model.optimizer``; until it makes one, each batch that was begun is one.

    Warns:
        PolicyWarning: No layer of the model is marked.

    Example:
        >>> import numpy as np
        >>> from secateur_keras.tfmot.prune import prune_low_magnitude
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> model = prune_low_magnitude(model)
        >>> model.compile("sgd", "mse")
        >>> _ = model.fit(
        ...     np.ones((8, 4)), np.ones((8, 2)), verbose=0, callbacks=[UpdatePruningStep()]
        ... )
        >>> int((model.get_weights()[0] == 0).sum())
        4

    """

    def __init__(self) -> None:
        keras.callbacks.Callback.__init__(self)
        self._run: Run | None = None
        self._is_in_fit = self._optimizer_moves = False
        self._begun = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin to prune, or continue from an earlier training or a file.

        Args:
            logs: What Keras passes.

        """
        self._is_in_fit = False  # a training that failed did not reach its end
        self._run = begin(self.model)
        if self._run is None:
            warnings.warn(
                f"UpdatePruningStep: no layer of {self.model.name} is marked to be pruned, so none "
                "is; give the model, or layers of it, to prune_low_magnitude",
                PolicyWarning,
                stacklevel=2,
            )
            return
        driven: PruningCallback = self._run.pruner.callback()
        self._drive(self._run.pruner, driven._training, driven.weights)
        self._is_in_fit = callback_list(sys._getframe(1)) is not None
        self._begun = 0
        if self._is_in_fit:
            self._run.catch_up = self.catch_up
            super().on_train_begin(logs)
        else:
            self._run.catch_up = self._count
            self._training.restart_counter()

    def on_train_batch_begin(self, batch: int = -1, logs: dict[str, Any] | None = None) -> None:
        """Count the update before this batch.

        Args:
            batch: Its number, which makes no difference.
            logs: What Keras passes.

        """
        if self._is_in_fit:
            super().on_train_batch_begin(batch, logs)
        elif self._run is not None:
            self._count()
            self._begun = 1

    def on_train_batch_end(self, batch: int = -1, logs: dict[str, Any] | None = None) -> None:
        """Count the update of this batch.

        Args:
            batch: Its number, which makes no difference.
            logs: What Keras passes.

        """
        if self._is_in_fit:
            super().on_train_batch_end(batch, logs)
        elif self._run is not None:
            self._count()

    def on_epoch_end(self, batch: int = -1, logs: dict[str, Any] | None = None) -> None:
        """Count the last update, and mask the weights whatever changed them.

        Args:
            batch: The number of the epoch, called as in the toolkit.
            logs: What Keras passes.

        """
        if self._is_in_fit:
            super().on_epoch_end(batch, logs)
        elif self._run is not None:
            self._count()
            self._pruner.step(0)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Look once more that the weights are masked.

        Args:
            logs: What Keras passes.

        """
        if self._is_in_fit:
            super().on_train_end(logs)
        elif self._run is not None:
            self.on_epoch_end()
        self._is_in_fit = False

    def _count(self) -> None:
        """Take the steps since the last look, in a loop of the user's own."""
        updates = self._training.pending()
        self._optimizer_moves = self._optimizer_moves or bool(updates)
        if not self._optimizer_moves:
            updates = self._begun
        self._begun = 0
        if updates:
            self._pruner.step(updates)
            self._training.restart_counter()
