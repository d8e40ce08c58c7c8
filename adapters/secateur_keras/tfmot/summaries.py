"""The callback that shows the pruning in TensorBoard."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras

from secateur.errors import PolicyError, shown
from secateur_keras.tfmot.run import figures


class PruningSummaries(keras.callbacks.TensorBoard):  # type: ignore[misc]
    """Keras's TensorBoard callback, with sparsity and threshold of each pruned weight.

    They are written at the beginning of each epoch, under ``NAME/sparsity`` and
    ``NAME/threshold``, into the folder ``metrics`` of `log_dir`. Like the callback that it extends
    it needs the packages tensorflow and tensorboard.

    Args:
        log_dir: The log folder.
        update_freq: How often the other figures are written.
        **kwargs: Other arguments of Keras's callback.

    Raises:
        PolicyError: `log_dir` is no path.

    Example:
        >>> PruningSummaries("logs").log_dir
        'logs'

    """

    def __init__(
        self, log_dir: str | os.PathLike[str], update_freq: int | str = "epoch", **kwargs: Any
    ) -> None:
        if not isinstance(log_dir, (str, os.PathLike)) or not os.fspath(log_dir):
            raise PolicyError(f"log_dir = {shown(log_dir)}: it must be a non-empty path")
        super().__init__(log_dir=os.fspath(log_dir), update_freq=update_freq, **kwargs)
        self._metrics: Any = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write what the masks are now.

        Args:
            epoch: Its number.
            logs: What Keras passes.

        """
        super().on_epoch_begin(epoch, logs)
        import tensorflow as tf

        if self._metrics is None:
            self._metrics = tf.summary.create_file_writer(str(Path(self.log_dir) / "metrics"))
        step, values = figures(self.model)
        with self._metrics.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=step)
            self._metrics.flush()
