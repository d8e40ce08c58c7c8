"""What masking costs a Keras training step: dense, secateur and TFMOT, in turn.

    python tests/benchmarks/keras_overhead.py [--rounds 4] [--runs 5] [--steps 20] [--threads 2]
        [--json] [--tfmot PYTHON]

--tfmot names the Python of an environment with tensorflow-model-optimization, which needs
Keras 2 (tf-keras) and so cannot share ours; without it those rows are left out.

A dense network and a pruned one train in one process, and take turns: some steps of the one,
some of the other, in an order that moves on from round to round.  TFMOT and a dense network
of its own Keras take theirs in between, in another process.  All of it is repeated in new
processes, in which the other network is made first: where a network lies in memory makes its
steps faster or slower by a few per cent, for as long as the process lives.

Masks are recomputed every tenth step; a round's step is the median of the other nine in ten,
and an update is what the tenth takes more.  "Every 100" charges a hundredth of an update.
Ratios are medians, over the rounds, of the ratio to the dense network of the same process in
the same round; the ratio of the fastest rounds is the one that other work on the machine
disturbs least.  Extra bytes are those that pruning keeps between steps, beside the model's own
variables.
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
WAYS = {"secateur": "dense (Keras 3)", "TFMOT": "dense (tf-keras)"}
"""Who prunes, and what its dense network is called."""


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


def prune_by_secateur(keras: Any, model: Any) -> tuple[Any, Any, Any]:
    """Return the compiled model, its callback, and a function for the bytes that are kept."""
    import numpy as np

    import secateur
    from secateur_keras.weight import to_numpy

    compile_(keras, model)
    schedule = {"kind": "constant", "final_sparsity": SPARSITY, "frequency": EVERY}
    pruner = secateur.attach(model, {"schedule": schedule})

    def held() -> int:
        in_step = [to_numpy(v.constraint.mask.value) for v in model.variables if v.constraint]
        own = [
            mask
            for mask in pruner.masks.values()
            if not any(np.shares_memory(mask, one) for one in in_step)
        ]
        return sum(mask.nbytes for mask in [*in_step, *own])

    return model, pruner.callback(), held


def prune_by_tfmot(keras: Any, model: Any) -> tuple[Any, Any, Any]:
    """Return the same three for TFMOT, whose model wraps the layers."""
    import tensorflow_model_optimization as tfmot

    plain = size_of(model.variables)
    schedule = tfmot.sparsity.keras.ConstantSparsity(SPARSITY, 0, frequency=EVERY)
    model = tfmot.sparsity.keras.prune_low_magnitude(model, schedule)
    compile_(keras, model)
    kept = size_of(model.variables) - plain
    return model, tfmot.sparsity.keras.UpdatePruningStep(), lambda: kept


def compile_(keras: Any, model: Any) -> None:
    """Compile a classifier."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=False)


def size_of(variables: list[Any]) -> int:
    """Return the bytes that variables take."""
    return sum(v.numpy().nbytes for v in variables)


def work(way: str, task: str, threads: int, pruned_first: bool) -> None:
    """Train the dense or the pruned network for some steps, as each line of stdin says."""
    import time

    if way == "TFMOT":
        import tensorflow as tf
        import tf_keras as keras
    else:
        import keras
        import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    first, second = build(keras, task), build(keras, task)
    dense, plain = (second, first) if pruned_first else (first, second)
    compile_(keras, dense)
    prune = prune_by_tfmot if way == "TFMOT" else prune_by_secateur
    pruned, callback, held = prune(keras, plain)
    models = {"dense": (dense, []), "pruned": (pruned, [callback])}

    class Times(keras.callbacks.Callback):
        """The time from the start of one batch to that of the next, callbacks included."""

        marks: list[float] = []

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.marks.append(time.perf_counter())

    x, y = tf.random.normal((BATCH, *dense.input_shape[1:])), tf.zeros((BATCH,), tf.int32)
    data = tf.data.Dataset.from_tensors((x, y)).repeat()
    times, done = Times(), dict.fromkeys(models, 0)
    for line in sys.stdin:
        name, steps = line.split()
        model, callbacks = models[name]
        times.marks = []
        cpu = time.process_time()
        model.fit(data, steps_per_epoch=int(steps) + 1, verbose=0, callbacks=[*callbacks, times])
        cpu = 1000 * (time.process_time() - cpu) / (int(steps) + 1)
        taken = [1000 * (b - a) for a, b in zip(times.marks, times.marks[1:], strict=False)]
        due = [(done[name] + number) % EVERY == 0 for number in range(1, len(taken) + 1)]
        done[name] += len(taken) + 1
        fixed = statistics.median(t for t, update in zip(taken, due, strict=True) if not update)
        update = statistics.median(t for t, update in zip(taken, due, strict=True) if update)
        answer = {
            "fixed": fixed,
            "update": update - fixed,
            "cpu": cpu,
            "held": held() if name == "pruned" else 0,
            "weights": dense.count_params(),
        }
        print(json.dumps(answer), flush=True)


class Worker:
    """A process that trains a dense network and a pruned one."""

    def __init__(self, python: str, way: str, task: str, threads: int, run: int) -> None:
        command = [python, __file__, "--work", way, "--task", task, "--threads", str(threads)]
        command += ["--pruned-first"] * (run % 2)
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
        if way == "TFMOT":
            environment.pop("PYTHONPATH", None)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def train(self, name: str, steps: int) -> dict[str, Any]:
        """Let it train some steps; return what it says of them."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{name} {steps}\n")
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
    pythons = {"secateur": sys.executable}
    if options.tfmot:
        pythons["TFMOT"] = options.tfmot
    turns = [(way, name) for way in pythons for name in ("dense", "pruned")]
    rounds: dict[tuple[str, str], list[dict[str, Any]]] = {turn: [] for turn in turns}
    for run in range(options.runs):
        workers = {
            way: Worker(python, way, task, options.threads, run) for way, python in pythons.items()
        }
        if run % 2:
            turns.reverse()
        for way, name in turns:
            workers[way].train(name, options.steps)  # compiles
        for _ in range(options.rounds):
            for way, name in turns:
                rounds[way, name].append(workers[way].train(name, options.steps))
            turns.append(turns.pop(0))
        for worker in workers.values():
            worker.stop()
        print(f"\r{TASKS[task]}: run {run + 1} of {options.runs}", end="", file=sys.stderr)
    print(file=sys.stderr)
    rows = []
    for way in pythons:
        dense = rounds[way, "dense"]
        rows += [row(task, WAYS[way], dense, dense), row(task, way, rounds[way, "pruned"], dense)]
    return rows


def row(
    task: str, way: str, mine: list[dict[str, Any]], dense: list[dict[str, Any]]
) -> dict[str, Any]:
    """Sum up one way against its own dense network."""

    def ratio(of: str) -> float:
        return statistics.median(a[of] / b[of] for a, b in zip(mine, dense, strict=True))

    reference = statistics.median(one["fixed"] for one in dense)
    is_pruned = mine is not dense
    update = statistics.median(one["update"] for one in mine) if is_pruned else 0.0
    return {
        "task": TASKS[task],
        "way": way,
        "ms": statistics.median(one["fixed"] for one in mine),
        "ratio": ratio("fixed"),
        "of_fastest": min(one["fixed"] for one in mine) / min(one["fixed"] for one in dense),
        "cpu_ratio": ratio("cpu"),
        "update_ms": update,
        "ratio_every_100": ratio("fixed") + update / 100 / reference,
        "extra_bytes_a_weight": mine[-1]["held"] / dense[0]["weights"],
    }


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description="What masking costs a Keras training step.")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tfmot", help="the Python of an environment with TFMOT")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--pruned-first", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.task, options.threads, options.pruned_first)
        return
    rows = [
        one
        for task in ([options.task] if options.task else TASKS)
        for one in measure(task, options)
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    head = ("task", "way", "ms a step", "to dense", "of fastest", "of processor time")
    head += ("one update, ms", "to dense, update every 100", "extra bytes a weight")
    print(f"| {' | '.join(head)} |\n| --- | --- |{' --: |' * (len(head) - 2)}")
    for one in rows:
        print(
            f"| {one['task']} | {one['way']} | {one['ms']:.1f} | {one['ratio']:.3f} "
            f"| {one['of_fastest']:.3f} | {one['cpu_ratio']:.3f} | {one['update_ms']:.1f} "
            f"| {one['ratio_every_100']:.3f} | {one['extra_bytes_a_weight']:.1f} |"
        )


if __name__ == "__main__":
    main()
