"""What masking costs a Keras training step: dense, secateur and TFMOT, in turn.

    python tests/benchmarks/keras_overhead.py [--rounds 5] [--steps 20] [--threads 2] [--json]
        [--tfmot PYTHON]

--tfmot names the Python of an environment with tensorflow-model-optimization, which needs
Keras 2 (tf-keras) and so cannot share ours; without it those rows are left out.

Each way trains in a process of its own, and the processes take turns, so that a busy machine
slows all of them alike.  Masks are recomputed every tenth step; the cost of one update is the
fastest of those steps less the fastest of the others, and "update every 100" charges a
hundredth of it.  Ratios are of the fastest steps, which other work on the machine disturbs
least, and of the processor time of a round, to those of the same Keras's dense network.
Extra bytes are those that pruning keeps between steps, beside the model's own variables.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from typing import Any

BATCH, SPARSITY, EVERY = 128, 0.9, 10
TASKS = {"mnist": "MNIST network, batch 128", "lstm": "2-layer LSTM(128), batch 128"}
WAYS = {"dense": "dense (Keras 3)", "secateur": "secateur"}
TFMOT_WAYS = {"tfmot-dense": "dense (tf-keras)", "tfmot": "TFMOT"}


def build(keras: Any, task: str) -> Any:
    """Make the network of a task, with either Keras."""
    layers = keras.layers
    if task == "lstm":
        return keras.Sequential(
            [
                layers.Input((50, 13)),
                layers.LSTM(128, return_sequences=True),
                layers.LSTM(128),
                layers.Dense(10),
            ]
        )
    return keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(32, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(1024, activation="relu"),
            layers.Dropout(0.4),
            layers.Dense(10),
        ]
    )


def work(way: str, task: str, threads: int) -> None:
    """Train as many steps as each line of stdin says; answer with the time of each."""
    import time

    if way in TFMOT_WAYS:
        import tensorflow as tf
        import tensorflow_model_optimization as tfmot
        import tf_keras as keras
    else:
        import keras
        import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    model, callbacks = build(keras, task), []
    plain = size_of(model.variables)

    def held() -> int:
        """Return the bytes that pruning keeps between steps."""
        if way != "secateur":
            return size_of(model.variables) - plain
        in_step = [v.constraint.mask for v in model.variables if v.constraint]
        return size_of(in_step) + sum(mask.nbytes for mask in pruner.masks.values())

    if way == "tfmot":
        schedule = tfmot.sparsity.keras.ConstantSparsity(SPARSITY, 0, frequency=EVERY)
        model = tfmot.sparsity.keras.prune_low_magnitude(model, schedule)
        callbacks = [tfmot.sparsity.keras.UpdatePruningStep()]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=False)
    if way == "secateur":
        import secateur

        schedule = {"kind": "constant", "final_sparsity": SPARSITY, "frequency": EVERY}
        pruner = secateur.attach(model, {"schedule": schedule})
        callbacks = [pruner.callback()]

    class Times(keras.callbacks.Callback):
        """The time from the start of one batch to that of the next, callbacks included."""

        marks: list[float] = []

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.marks.append(time.perf_counter())

    shape = model.input_shape[1:]
    x, y = tf.random.normal((BATCH, *shape)), tf.zeros((BATCH,), tf.int32)
    data = tf.data.Dataset.from_tensors((x, y)).repeat()
    times, done = Times(), 0
    for line in sys.stdin:
        times.marks = []
        steps, cpu = int(line), time.process_time()
        model.fit(data, steps_per_epoch=steps + 1, verbose=0, callbacks=[*callbacks, times])
        cpu = 1000 * (time.process_time() - cpu) / (steps + 1)
        taken = [1000 * (b - a) for a, b in zip(times.marks, times.marks[1:], strict=False)]
        due = [(done + number) % EVERY == 0 for number in range(1, steps + 1)]
        done += steps + 1
        answer = {
            "fixed": min(t for t, update in zip(taken, due, strict=True) if not update),
            "update": min(t for t, update in zip(taken, due, strict=True) if update),
            "cpu": cpu,
            "held": held(),
            "weights": model.count_params(),
        }
        print(json.dumps(answer), flush=True)


def size_of(variables: list[Any]) -> int:
    """Return the bytes that variables take."""
    return sum(v.numpy().nbytes for v in variables)


class Worker:
    """A process that trains one way."""

    def __init__(self, python: str, way: str, task: str, threads: int) -> None:
        command = [python, __file__, "--work", way, "--task", task, "--threads", str(threads)]
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
        if way in TFMOT_WAYS:
            environment.pop("PYTHONPATH", None)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def train(self, steps: int) -> dict[str, Any]:
        """Let it train some steps; return what it says of them."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def stop(self) -> None:
        """End the process."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def measure(task: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run every way of a task in turn; return a row for each."""
    pythons = dict.fromkeys(WAYS, sys.executable)
    if options.tfmot:
        pythons |= dict.fromkeys(TFMOT_WAYS, options.tfmot)
    workers = {way: Worker(python, way, task, options.threads) for way, python in pythons.items()}
    rounds: dict[str, list[dict[str, Any]]] = {way: [] for way in workers}
    for worker in workers.values():
        worker.train(options.steps)  # compiles
    for number in range(options.rounds):
        order = [*workers][number % len(workers) :] + [*workers][: number % len(workers)]
        for way in order:
            rounds[way].append(workers[way].train(options.steps))
    for worker in workers.values():
        worker.stop()
    return [row(task, way, rounds) for way in workers]


def row(task: str, way: str, rounds: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Sum up one way against its own dense network."""
    base = "tfmot-dense" if way in TFMOT_WAYS else "dense"
    mine, dense = rounds[way], rounds[base]
    fixed, reference = (min(one["fixed"] for one in many) for many in (mine, dense))
    update = min(one["update"] for one in mine) - fixed
    return {
        "task": TASKS[task],
        "way": (WAYS | TFMOT_WAYS)[way],
        "ms": fixed,
        "ratio": fixed / reference,
        "cpu_ratio": statistics.median(
            one["cpu"] / other["cpu"] for one, other in zip(mine, dense, strict=True)
        ),
        "update_ms": update,
        "ratio_every_100": (fixed + update / 100) / reference,
        "extra_bytes_a_weight": mine[-1]["held"] / dense[0]["weights"],
    }


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description="What masking costs a Keras training step.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tfmot", help="the Python of an environment with TFMOT")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", choices=[*WAYS, *TFMOT_WAYS], help=argparse.SUPPRESS)
    parser.add_argument("--task", choices=[*TASKS])
    options = parser.parse_args()
    if options.work:
        work(options.work, options.task, options.threads)
        return
    rows = [
        one
        for task in ([options.task] if options.task else TASKS)
        for one in measure(task, options)
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    head = ("task", "way", "ms a step", "to dense", "CPU to dense", "one update, ms")
    head += ("to dense, update every 100", "extra bytes a weight")
    print(f"| {' | '.join(head)} |\n| --- | --- |{' --: |' * (len(head) - 2)}")
    for one in rows:
        print(
            f"| {one['task']} | {one['way']} | {one['ms']:.1f} | {one['ratio']:.3f} "
            f"| {one['cpu_ratio']:.3f} | {one['update_ms']:.1f} | {one['ratio_every_100']:.3f} "
            f"| {one['extra_bytes_a_weight']:.1f} |"
        )


if __name__ == "__main__":
    main()
