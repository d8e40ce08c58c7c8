"""How long a whole `secateur.prune` takes: the mask, and the zeros in the model.

    python tests/benchmarks/whole_calls.py [--rounds 7] [--size 1.0] [--framework NAME]

Prints a table in Markdown.  Each framework has a process of its own, in which its whole calls,
those of its peers and one pass ``abs(w) > t`` on one thread take turns; ratios are to that pass
of the same process.  The columns are those of ``core_speed.py``.  With --framework, it measures
that one and prints its figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from core_speed import FLOOR, Way, heading, normal, one_pass, summary, timed

SPARSITY = 0.9
POLICY = {"schedule": {"kind": "one_shot", "final_sparsity": SPARSITY}}
Array = Any
Reset = Callable[[], object]


def main() -> None:
    """Measure each framework in its own process, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=float, default=1.0)
    parser.add_argument("--framework", choices=FRAMEWORKS)
    options = parser.parse_args()
    weight = normal(25e6 * options.size)
    if options.framework:
        print(json.dumps(measured(FRAMEWORKS[options.framework](weight), weight, options.rounds)))
        return
    columns = ["work", "ms", "ratio", "of fastest", "of processor time"]
    heading(f"Whole calls, one float32 weight of {weight.size / 1e6:.0f} M, 90 %", columns)
    for name in FRAMEWORKS:
        for work, own, ratios in in_its_own_process(name, options):
            shown = " | ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"| {name}: {work} | {own * 1e3:.1f} | {shown} |", flush=True)


def in_its_own_process(name: str, options: argparse.Namespace) -> list[Any]:
    """The figures of one framework."""
    backend = name.partition(" on ")[2].lower()
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    environment = os.environ | quiet | ({"KERAS_BACKEND": backend} if backend else {})
    words = ["--rounds", str(options.rounds), "--size", str(options.size), "--framework", name]
    done = subprocess.run(
        [sys.executable, str(Path(__file__)), *words],
        check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
    )  # fmt: skip
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(
    ways: dict[str, tuple[Reset, Way]], weight: Array, rounds: int
) -> list[tuple[str, float, list[float]]]:
    """The name, seconds and ratios of each way, in turns; the first round does not count."""
    every = {FLOOR: (lambda: None, lambda: one_pass(weight)), **ways}
    times: dict[str, list[Any]] = {name: [] for name in every}
    for _ in range(rounds + 1):
        for name, (reset, way) in every.items():
            reset()
            times[name].append(timed(way))
    figures = {name: summary(found[1:], 1) for name, found in times.items()}
    floor = figures[FLOOR]
    return [
        (name, own[0], [mine / other for mine, other in zip(own, floor, strict=True)])
        for name, own in figures.items()
    ]


def pruning(model: object, reset: Reset) -> dict[str, tuple[Reset, Way]]:
    """The whole call on a model."""
    import secateur

    return {"secateur.prune": (reset, lambda: secateur.prune(model, POLICY))}


def of_numpy(weight: Array) -> dict[str, tuple[Reset, Way]]:
    """On a mapping of arrays."""
    model = {"w": weight.copy()}
    return pruning(model, lambda: np.copyto(model["w"], weight))


def of_torch(weight: Array) -> dict[str, tuple[Reset, Way]]:
    """On a linear layer, and what its users call instead."""
    import torch
    from torch.nn.utils import prune

    rows, columns = weight.shape
    layer = torch.nn.Linear(columns, rows, bias=False)
    drop = round(SPARSITY * weight.size)

    def reset() -> None:
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight))

    def l1_unstructured() -> None:
        prune.l1_unstructured(layer, "weight", SPARSITY)
        prune.remove(layer, "weight")

    def kthvalue() -> None:
        with torch.no_grad():
            size = layer.weight.abs()
            layer.weight.mul_(size > size.view(-1).kthvalue(drop).values)

    return {
        **pruning(layer, reset),
        "kthvalue, compare and write": (reset, kthvalue),
        "l1_unstructured and remove": (reset, l1_unstructured),
    }


def of_keras(weight: Array) -> dict[str, tuple[Reset, Way]]:
    """On a dense layer."""
    import keras

    inputs, outputs = weight.shape
    dense = keras.layers.Dense(outputs, use_bias=False)
    model = keras.Sequential([keras.Input((inputs,)), dense])

    def reset() -> None:
        model.set_weights([weight])
        keras.ops.convert_to_numpy(dense.kernel)  # what JAX has not finished is no part of a call

    return pruning(model, reset)


def of_flax(weight: Array) -> dict[str, tuple[Reset, Way]]:
    """On an NNX linear layer."""
    import jax
    from flax import nnx

    model = nnx.Linear(*weight.shape, use_bias=False, rngs=nnx.Rngs(0))

    def reset() -> None:
        model.kernel.set_value(jax.numpy.array(weight).block_until_ready())
        jax.numpy.zeros(()).block_until_ready()  # at which JAX gives back the values before

    return pruning(model, reset)


FRAMEWORKS = {
    "NumPy": of_numpy,
    "PyTorch": of_torch,
    "Keras on TensorFlow": of_keras,
    "Keras on JAX": of_keras,
    "Keras on torch": of_keras,
    "Flax": of_flax,
}

if __name__ == "__main__":
    main()
