"""What criteria that watch training cost a step: PyTorch, and Keras on each backend, in turn.

    python tests/benchmarks/gradients.py [--rounds 5] [--steps 10] [--only torch]

The MNIST network of 3.27 M weights, Adam, batch 128, all kernels pruned, masks recomputed at every
100th step, which falls outside of what is measured.  In each round every way trains some steps, in
an order that moves on; the ratio of processor time, over all threads, is disturbed least by other
work on the machine.  Magnitude needs nothing but the weights; saliency the gradients of every
100th update; the others update their memory, on the processor, at every step.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

BATCH = 128
CRITERIA = ("magnitude", "saliency", "movement", "fisher")
FRAMEWORKS = ("torch", "keras, tensorflow", "keras, jax", "keras, torch")
Step = Callable[[int], None]
"""Trains so many steps."""


def policy(criterion: str) -> dict[str, Any]:
    """Return a policy that prunes by a criterion at step 2, and at every 100th from there."""
    schedule = {"kind": "constant", "final_sparsity": 0.9, "begin_step": 2, "frequency": 100}
    return {"criterion": criterion, "schedule": schedule}


def torch_step(criterion: str | None) -> Step:
    """Return what trains a PyTorch network, dense or pruned."""
    import torch
    from torch_overhead import mnist_network

    import secateur

    torch.set_num_threads(1)  # two would wait for each other on a busy machine
    model = mnist_network()
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    if criterion:
        secateur.attach(model, policy(criterion), optimizer=optimizer)
    x, y = torch.randn(BATCH, 1, 28, 28), torch.randint(10, (BATCH,))

    def train(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    return train


def keras_step(criterion: str | None) -> Step:
    """Return what trains a Keras network, dense or pruned."""
    import keras
    from keras_overhead import build

    import secateur

    model = build(keras, "mnist")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-4), loss)
    callbacks = [secateur.attach(model, policy(criterion)).callback()] if criterion else []
    x = np.random.default_rng(0).normal(size=(BATCH, 28, 28, 1)).astype("float32")
    y = np.zeros(BATCH, "int32")

    def train(steps: int) -> None:
        many = (np.broadcast_to(each, (steps, *each.shape)).reshape(-1, *each.shape[1:])
                for each in (x, y))  # fmt: skip
        model.fit(*many, batch_size=BATCH, verbose=0, shuffle=False, callbacks=callbacks)

    return train


def work(framework: str, rounds: int, steps: int) -> None:
    """Measure all ways in this process; print the rows as JSON."""
    make = torch_step if framework == "torch" else keras_step
    ways: dict[str, Step] = {"dense": make(None), **{each: make(each) for each in CRITERIA}}
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
        ratios = [[a / b for a, b in zip(mine, plain, strict=True)]
                  for mine, plain in zip(times, taken["dense"], strict=True)]  # fmt: skip
        wall_ratio, cpu_ratio = (statistics.median(each) for each in zip(*ratios, strict=True))
        ms = 1000 * statistics.median(wall for wall, _ in times)
        print(json.dumps([framework, way, ms, wall_ratio, cpu_ratio]), flush=True)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--only", choices=FRAMEWORKS)
    parser.add_argument("--work", choices=FRAMEWORKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.rounds, options.steps)
        return
    print("| framework | way | ms a step | to dense | of processor time |")
    print("| --- | --- | --: | --: | --: |")
    for framework in [options.only] if options.only else FRAMEWORKS:
        command = [sys.executable, __file__, "--work", framework]
        command += ["--rounds", str(options.rounds), "--steps", str(options.steps)]
        backend = framework.rpartition(", ")[2]
        environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
        for line in done.stdout.decode().splitlines():
            name, way, ms, wall, cpu = json.loads(line)
            print(f"| {name} | {way} | {ms:.1f} | {wall:.3f} | {cpu:.3f} |", flush=True)


if __name__ == "__main__":
    main()
