"""What masking costs a Keras training step: dense, secateur and TFMOT, in turn.

    python tests/benchmarks/keras_overhead.py [--rounds 6] [--runs 12] [--threads 2] [--task mnist]
        [--json] [--tfmot PYTHON]

--tfmot names the Python of an environment with tensorflow-model-optimization, which needs
Keras 2 (tf-keras) and so cannot share ours; without it those rows are left out.

In one process one network is trained in three ways that take turns of ten steps of fit(), in an
order drawn for each round: dense, dense again, and pruned.  They are three compiled models of the
same layers and one optimizer, so that they read and write the same memory; a difference as small
as that of "dense again" is none.  TFMOT and a dense network of its own Keras take their turns in
between, in another process.  All are compiled anew for each round, and all of it is repeated in new
processes: the times of two train steps compiled of the same model lie a per cent or two apart for
as long as they live.

A turn's step is the median of its second to ninth, as masks are recomputed at each tenth; what
that takes more is measured in a longer fit().  "Every 100" charges a hundredth of it.  Ratios are
medians, over the rounds, of the ratio to the dense way of the same round; that of processor time,
which counts all threads, is disturbed least by other work on the machine.
The task with XLA has jit_compile=True; the others have it off.
Extra bytes are those that pruning keeps between steps, beside the model's own variables.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BATCH, SPARSITY, EVERY = 128, 0.9, 10
TASKS = {
    "mnist": "MNIST network, batch 128",
    "lstm": "2-layer LSTM(128), batch 128",
    "mnist-xla": "MNIST network, batch 128, XLA",
}
KERAS = {"secateur": "Keras 3", "TFMOT": "tf-keras"}
"""Who prunes, and what it prunes."""
WAYS = ("dense", "dense again", "pruned")
ANEW = "anew"


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


@dataclass(frozen=True)
class Way:
    """A model that is trained in one of the ways."""

    model: Any
    callbacks: Sequence[Any] = ()
    held: Callable[[], int] = int
    """Returns the bytes that are kept between steps, beside the model's own variables."""
    undo: Callable[[], object] = int
    """Takes the pruning off the layers, which the next models share."""


def prune_by_secateur(model: Any, compile_: Any) -> Way:
    """Compile a model to be pruned by us."""
    import secateur
    from secateur_keras.weight import to_numpy

    compile_(model)
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

    return Way(model, [pruner.callback()], held, pruner.detach)


def prune_by_tfmot(model: Any, compile_: Any) -> Way:
    """Compile a model to be pruned by TFMOT, which wraps the layers."""
    import tensorflow_model_optimization as tfmot

    plain = size_of(model.variables)
    schedule = tfmot.sparsity.keras.ConstantSparsity(SPARSITY, 0, frequency=EVERY)
    model = tfmot.sparsity.keras.prune_low_magnitude(model, schedule)
    compile_(model)
    kept = size_of(model.variables) - plain
    return Way(model, [tfmot.sparsity.keras.UpdatePruningStep()], lambda: kept)


def size_of(variables: list[Any]) -> int:
    """Return the bytes that variables take."""
    return sum(v.numpy().nbytes for v in variables)


def work(who: str, task: str, threads: int) -> None:
    """Compile the ways anew, or train in one of them for some steps, as each line of stdin says."""
    import time

    if who == "TFMOT":
        import tensorflow as tf
        import tf_keras as keras
    else:
        import keras
        import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    network, optimizer = build(keras, task), keras.optimizers.Adam()
    x, y = tf.random.normal((BATCH, *network.input_shape[1:])), tf.zeros((BATCH,), tf.int32)
    data = tf.data.Dataset.from_tensors((x, y)).repeat()

    def compile_(model: Any) -> None:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, jit_compile=task.endswith("xla"))

    def make(way: str) -> Way:
        """Compile one of the ways, by some steps."""
        model = keras.Model(network.inputs, network.outputs)
        if way == "pruned":
            made = (prune_by_tfmot if who == "TFMOT" else prune_by_secateur)(model, compile_)
        else:
            compile_(model)
            made = Way(model)
        made.model.fit(data, steps_per_epoch=EVERY, verbose=0, callbacks=[*made.callbacks])
        return made

    class Times(keras.callbacks.Callback):
        """The time from the start of one batch to that of the next, callbacks included."""

        async_safe = True  # it changes no weight, so none is masked again

        marks: list[tuple[float, float]] = []

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.marks.append((time.perf_counter(), time.process_time()))

    times = Times()
    ways: dict[str, Way] = {}
    for line in sys.stdin:
        if line.rstrip() == ANEW:
            for way in ways.values():
                way.undo()
            # The dense ones compile their step while there is no mask to put into it.
            ways = {name: make(name) for name in WAYS}
            print("{}", flush=True)
            continue
        name, steps = line.rsplit(" ", 1)
        way = ways[name]
        times.marks = []
        callbacks = [*way.callbacks, times]
        way.model.fit(data, steps_per_epoch=int(steps), verbose=0, callbacks=callbacks)
        wall, cpu = (
            [1000 * (after - before) for before, after in itertools.pairwise(of)]
            for of in zip(*times.marks, strict=True)
        )
        held_steps = [n for n in range(2, int(steps)) if n % EVERY]  # another way went before 1
        fixed = statistics.median(wall[n - 1] for n in held_steps)
        answer = {
            "fixed": fixed,
            "cpu": statistics.median(cpu[n - 1] for n in held_steps),
            "held": way.held(),
            "weights": network.count_params(),
        }
        if updates := wall[EVERY - 1 :: EVERY]:
            answer["update"] = statistics.median(updates) - fixed
        print(json.dumps(answer), flush=True)


class Worker:
    """A process that trains a network, dense and pruned."""

    def __init__(self, python: str, who: str, task: str, threads: int) -> None:
        command = [python, __file__, "--work", who, "--task", task, "--threads", str(threads)]
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
        if who == "TFMOT":
            environment.pop("PYTHONPATH", None)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def train(self, way: str, steps: int) -> dict[str, Any]:
        """Let it train some steps; return what it says of them."""
        return self._ask(f"{way} {steps}")

    def compile_anew(self) -> None:
        """Let it compile the ways anew."""
        self._ask(ANEW)

    def _ask(self, line: str) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{line}\n")
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
    if options.tfmot and not task.endswith("xla"):
        pythons["TFMOT"] = options.tfmot
    turns = [(who, way) for who in pythons for way in WAYS]
    rounds: dict[tuple[str, str], list[dict[str, Any]]] = {turn: [] for turn in turns}
    updates: dict[str, list[float]] = {who: [] for who in pythons}
    for run in range(options.runs):
        workers = {
            who: Worker(python, who, task, options.threads) for who, python in pythons.items()
        }
        for number in range(options.rounds):
            for worker in workers.values():
                worker.compile_anew()
            # In a cycle, each way would always follow the same other.
            order = np.random.default_rng([run, number]).permutation(len(turns))
            for who, way in (turns[place] for place in order):
                rounds[who, way].append(workers[who].train(way, EVERY))
        for who, worker in workers.items():
            updates[who].append(worker.train("pruned", 10 * EVERY)["update"])
            worker.stop()
        print(f"\r{TASKS[task]}: run {run + 1} of {options.runs}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return [
        row(TASKS[task], who, way, rounds[who, way], rounds[who, "dense"], updates[who])
        for who in pythons
        for way in WAYS
    ]


def row(
    task: str,
    who: str,
    way: str,
    mine: list[dict[str, Any]],
    dense: list[dict[str, Any]],
    updates: list[float],
) -> dict[str, Any]:
    """Sum up one way against the dense one of its process."""

    def ratio(of: str) -> float:
        return statistics.median(a[of] / b[of] for a, b in zip(mine, dense, strict=True))

    reference = statistics.median(one["fixed"] for one in dense)
    is_pruned = way == "pruned"
    update = statistics.median(updates) if is_pruned else 0.0
    return {
        "task": task,
        "way": who if is_pruned else f"{way} ({KERAS[who]})",
        "ms": statistics.median(one["fixed"] for one in mine),
        "ratio": ratio("fixed"),
        "cpu_ratio": ratio("cpu"),
        "update_ms": update,
        "ratio_every_100": ratio("fixed") + update / 100 / reference,
        "extra_bytes_a_weight": mine[-1]["held"] / dense[0]["weights"],
    }


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description="What masking costs a Keras training step.")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tfmot", help="the Python of an environment with TFMOT")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", choices=KERAS, help=argparse.SUPPRESS)
    parser.add_argument("--task", choices=TASKS)
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
    head = ("task", "way", "ms a step", "to dense", "of processor time")
    head += ("one update, ms", "to dense, update every 100", "extra bytes a weight")
    print(f"| {' | '.join(head)} |\n| --- | --- |{' --: |' * (len(head) - 2)}")
    for one in rows:
        print(
            f"| {one['task']} | {one['way']} | {one['ms']:.1f} | {one['ratio']:.3f} "
            f"| {one['cpu_ratio']:.3f} | {one['update_ms']:.1f} "
            f"| {one['ratio_every_100']:.3f} | {one['extra_bytes_a_weight']:.1f} |"
        )


if __name__ == "__main__":
    main()
