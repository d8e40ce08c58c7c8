"""Train under a distribution strategy and write what came of it; see test_distributed.

Arguments: the strategy, the file for the outcome, and for "workers" the rank.  Prints
nothing; every replica's weights and masks go to the file.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

STRATEGY, OUTCOME, *REST = sys.argv[1:]
if STRATEGY == "data_parallel":
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
else:
    os.environ["KERAS_BACKEND"] = "tensorflow"

import keras  # noqa: E402  the backend and its devices are settled before
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402

import secateur  # noqa: E402
from secateur_keras import in_place  # noqa: E402

SCHEDULE = {
    "kind": "linear",
    "initial_sparsity": 0.1,
    "final_sparsity": 0.9,
    "end_step": 10,
    "frequency": 2,
}
POLICY = {
    "schedule": SCHEDULE,
    "rules": [
        {"match": {"kind": "conv"}},
        {"match": {}, "criterion": "movement", "schedule": {**SCHEDULE, "begin_step": 2}},
    ],
}
in_place.LARGE = 500  # elements: the larger weights would be masked in place


def network() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(6, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(3, name="out"),
        ]
    )


def compiled() -> keras.Model:
    keras.utils.set_random_seed(1)
    model = network()
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    return model


def train(model: keras.Model) -> secateur.Pruner:
    pruner = secateur.attach(model, POLICY)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(96, 8, 8, 1)).astype("float32"), rng.integers(0, 3, 96)

    def check() -> None:
        for replica in replicas(model):
            for name, mask in pruner.masks.items():
                axes = (3, 2, 0, 1) if mask.ndim == 4 else (1, 0)
                assert not replica[name].transpose(axes)[~mask].any(), name

    class Check(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            assert self.model is not None  # brings the variables up to date on JAX
            check()

    if STRATEGY == "workers":
        loop(model, pruner, x, y, check)
        return pruner
    model.fit(x, y, 8, 1, verbose=0, shuffle=False, callbacks=[pruner.callback(), Check()])
    return pruner


def loop(
    model: keras.Model,
    pruner: secateur.Pruner,
    x: np.ndarray,
    y: np.ndarray,
    check: Callable[[], None],
) -> None:
    """Train by a loop of its own: Keras 3 has no fit() for several workers.

    Each worker takes every second example of a batch, so that both together see it all.
    """
    import tensorflow as tf

    strategy, rank = model.distribute_strategy, int(REST[0])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")

    def update(images: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            mean = loss(labels, model(images, training=True)) / 8
        variables = model.trainable_variables
        model.optimizer.apply(tape.gradient(mean, variables), variables)

    run = tf.function(lambda images, labels: strategy.run(update, (images, labels)))
    for start in range(0, len(x), 8):
        mine = slice(start + rank, start + 8, 2)
        run(tf.constant(x[mine]), tf.constant(y[mine]))
        pruner.step()
        check()


def replicas(model: keras.Model) -> list[dict[str, np.ndarray]]:
    """Return the kernels, one mapping for each replica of this process."""
    kernels = {f"{n}:kernel": model.get_layer(n).kernel.value for n in ("conv", "out")}
    if STRATEGY == "data_parallel":
        shards = {n: [np.asarray(s.data) for s in v.addressable_shards] for n, v in kernels.items()}
    else:
        shards = {
            n: [np.asarray(one) for one in getattr(v, "values", [v])] for n, v in kernels.items()
        }
    count = len(next(iter(shards.values())))
    return [{name: parts[i] for name, parts in shards.items()} for i in range(count)]


def main() -> None:
    if STRATEGY == "data_parallel":
        keras.distribution.set_distribution(keras.distribution.DataParallel())
        model = compiled()
    else:
        import tensorflow as tf

        if STRATEGY == "mirrored":
            cpu = tf.config.list_physical_devices("CPU")[0]
            two = [tf.config.LogicalDeviceConfiguration()] * 2
            tf.config.set_logical_device_configuration(cpu, two)
            strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        elif STRATEGY == "workers":
            workers = [f"localhost:{port}" for port in REST[1:]]
            task = {"type": "worker", "index": int(REST[0])}
            os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        else:
            strategy = tf.distribute.get_strategy()
        with strategy.scope():
            model = compiled()
    pruner = train(model)
    out = {f"mask/{name}": mask for name, mask in pruner.masks.items()}
    for number, replica in enumerate(replicas(model)):
        out |= {f"weight/{number}/{name}": value for name, value in replica.items()}
    out |= {key: v for key, v in pruner.state_dict().items() if key.startswith("memory/")}
    np.savez(OUTCOME, step=pruner.current_step, sparsity=pruner.report().sparsity, **out)


if __name__ == "__main__":
    main()
