"""What criteria that watch training cost a step: PyTorch, and Keras on each backend, in turn.

    python tests/benchmarks/gradients.py [--rounds 3] [--steps 8] [--only torch] [--before FOLDER]

The MNIST network of 3.27 M weights, Adam, batch 128, all kernels pruned to 90 %.  Masks are
recomputed at every 100th step, which falls outside of what is measured, or, where a row says so,
at every step: what such a row takes more than "magnitude" is what one update of the masks costs.
In each round every way trains some steps, in an order that moves on; the ratio of processor time,
over all threads, is disturbed least by other work on the machine.  Magnitude needs nothing but the
weights; saliency the gradients of every 100th update; movement and fisher update their memory, on
the processor, at every step.  --before names a checkout of an earlier secateur, such as one without
gradients: rows of magnitude under it show what the present one adds to it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 128
EVERY_STEP = {"kind": "constant", "end_step": 1_000_000, "frequency": 1}
SELDOM = {"kind": "constant", "frequency": 100}
WAYS: dict[str, dict[str, Any]] = {
    "magnitude": {"schedule": SELDOM},
    "saliency": {"criterion": "saliency", "schedule": SELDOM},
    "movement": {"criterion": "movement", "schedule": SELDOM},
    "fisher": {"criterion": "fisher", "schedule": SELDOM},
    "magnitude, but the last layer by movement": {
        "schedule": SELDOM,
        "rules": [{"match": {"position": "last"}, "criterion": "movement"}, {"match": {}}],
    },
    "magnitude, every step": {"schedule": EVERY_STEP},
    "rigl, every step": {"criterion": "rigl", "schedule": EVERY_STEP},
    "deviations, every step": {
        "distribution": {"kind": "threshold", "deviations": 1.5},
        "schedule": EVERY_STEP,
    },
}
"""The policies that are compared, each at 90 %, from step 2 on."""
BEFORE = ("magnitude", "magnitude, every step")
FRAMEWORKS = ("torch", "keras, tensorflow", "keras, jax", "keras, torch")
Step = Callable[[int], None]
"""Trains so many steps."""


def policy(way: str) -> dict[str, Any]:
    """Return a policy by its name, with the steps at which it prunes."""
    schedule = WAYS[way]["schedule"] | {"final_sparsity": 0.9, "begin_step": 2}
    return WAYS[way] | {"schedule": schedule}


def torch_step(way: str | None) -> Step:
    """Return what trains a PyTorch network, dense or pruned."""
    import torch
    from torch_overhead import mnist_network

    import secateur

    torch.set_num_threads(1)  # two would wait for each other on a busy machine
    model = mnist_network()
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    if way:
        secateur.attach(model, policy(way), optimizer=optimizer)
    x, y = torch.randn(BATCH, 1, 28, 28), torch.randint(10, (BATCH,))

    def train(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    return train


def keras_step(way: str | None) -> Step:
    """Return what trains a Keras network, dense or pruned."""
    import keras
    from keras_overhead import build

    import secateur

    model = build(keras, "mnist")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-4), loss)
    callbacks = [secateur.attach(model, policy(way)).callback()] if way else []
    x = np.random.default_rng(0).normal(size=(BATCH, 28, 28, 1)).astype("float32")
    y = np.zeros(BATCH, "int32")

    def train(steps: int) -> None:
        many = (np.broadcast_to(each, (steps, *each.shape)).reshape(-1, *each.shape[1:])
                for each in (x, y))  # fmt: skip
        model.fit(*many, batch_size=BATCH, verbose=0, shuffle=False, callbacks=callbacks)

    return train


def work(framework: str, rounds: int, steps: int, names: Sequence[str]) -> None:
    """Measure the ways of these names, and dense, in this process; print the rows as JSON."""
    make = torch_step if framework == "torch" else keras_step
    ways: dict[str, Step] = {"dense": make(None), **{name: make(name) for name in names}}
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for train in ways.values():
        train(4)
    order = list(ways)
    for _ in range(rounds):
        for way in order:
            wall, cpu = time.perf_counter(), time.process_time()
            ways[way](steps)
            spent = time.perf_counter() - wall, time.process_time() - cpu
            taken[way].append((spent[0] / steps, spent[1] / steps))
        order.append(order.pop(0))
    for way, times in taken.items():
        plain = taken["dense"]
        ratios = [[a / b for a, b in zip(*pair, strict=True)]
                  for pair in zip(times, plain, strict=True)]  # fmt: skip
        wall_ratio, cpu_ratio = (statistics.median(each) for each in zip(*ratios, strict=True))
        more = statistics.median(
            mine[0] - other[0] for mine, other in zip(times, plain, strict=True)
        )
        ms = statistics.median(wall for wall, _ in times)
        print(json.dumps([way, 1000 * ms, 1000 * more, wall_ratio, cpu_ratio]), flush=True)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--only", choices=FRAMEWORKS)
    parser.add_argument("--before", type=Path, metavar="FOLDER")
    parser.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        framework, *names = options.work
        work(framework, options.rounds, options.steps, names)
        return
    print("| framework | way | ms a step | ms more than dense | to dense | of processor time |")
    print("| --- | --- | --: | --: | --: | --: |")
    for framework in [options.only] if options.only else FRAMEWORKS:
        table(framework, WAYS, options)
        if options.before:
            table(framework, BEFORE, options, options.before.resolve())


def table(
    framework: str, ways: Iterable[str], options: argparse.Namespace, source: Path | None = None
) -> None:
    """Print the rows of a framework, measured in a process of its own.

    Args:
        framework: One of `FRAMEWORKS`.
        ways: Names of `WAYS`.
        options: The rounds and steps.
        source: The checkout of secateur to measure; None for the one that is installed.

    """
    command = [sys.executable, __file__, "--work", framework, *ways]
    command += ["--rounds", str(options.rounds), "--steps", str(options.steps)]
    backend = framework.rpartition(", ")[2]
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if source is not None:
        folders = [str(source / folder) for folder in ("core", "adapters", "plugins")]
        environment["PYTHONPATH"] = os.pathsep.join(folders)
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    for line in done.stdout.decode().splitlines():
        way, ms, more, wall, cpu = json.loads(line)
        shown = way if source is None else f"{way}, before"
        print(f"| {framework} | {shown} | {ms:.1f} | {more:.1f} | {wall:.3f} | {cpu:.3f} |",
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
