"""Train with BackupAndRestore; killed and started again by test_resume.

Arguments: the backup folder, the file for the outcome, and the batch before which to die
(0 for never; batches are counted from 1 over the whole run).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from keras import layers

import secateur
from secateur_keras import in_place

BATCHES, EPOCHS = 3, 8
POLICY = {
    "schedule": {"kind": "linear", "final_sparsity": 0.9, "end_step": 20, "frequency": 2},
    "rules": [{"match": {}, "distribution": "global"}],
}
in_place.LARGE = 500  # elements: the larger weights are masked in place


class Die(keras.callbacks.Callback):
    """Kills this process before a batch, as a preempted machine would."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.before, self.epoch = before, 0

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        if self.epoch * BATCHES + batch + 1 == self.before:
            os.kill(os.getpid(), signal.SIGKILL)


def network() -> keras.Model:
    """Return a network without dropout, whose random state Keras does not write to checkpoints."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(6, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def main(backup: Path, outcome: Path, die_before: int) -> None:
    keras.utils.set_random_seed(7)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    pruner = secateur.attach(model, POLICY)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCHES * 8, 8, 8, 1)).astype("float32")
    callbacks = [
        pruner.callback(),
        keras.callbacks.BackupAndRestore(backup, delete_checkpoint=False),
        Die(die_before),
    ]
    y = np.arange(len(x)) % 3
    model.fit(x, y, 8, EPOCHS, verbose=0, shuffle=False, callbacks=callbacks)
    variables = [*model.variables, *model.optimizer.variables]
    values = [keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(v)) for v in variables]
    np.savez(outcome, *values, step=pruner.current_step, **pruner.masks)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
