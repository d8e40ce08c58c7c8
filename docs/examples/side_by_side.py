"""How long do the masks of twins agree, when each framework trains its own?

    python docs/examples/side_by_side.py [--steps 3000]

Trains the same small network on the same MNIST batches in Keras and in PyTorch, by SGD from
equal weights, under one policy that updates the masks every 10 steps, and prints when the
first mask bit differs, in float64 and in float32.  Updates fall on the same steps with the
same counts throughout; training itself rounds differently in each framework.
"""

from __future__ import annotations

import argparse
import os
from itertools import pairwise
from typing import Any

import mnist
import numpy as np

import secateur

WIDTHS, BATCH = (784, 128, 10), 32


class Diary:
    """An observer that keeps every update of the masks."""

    def __init__(self) -> None:
        self.updates: list[tuple[int, dict[str, Any]]] = []

    @secateur.hookimpl
    def secateur_masks_updated(self, event: secateur.MasksUpdated) -> None:
        self.updates.append((event.step, dict(event.masks)))


def main() -> None:
    """Print one line for each dtype."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=1500)
    steps = parser.parse_args().steps
    for dtype in ("float64", "float32"):
        in_torch = _observed(train_torch, steps, dtype)
        in_keras = _observed(train_keras, steps, dtype)
        print(f"{dtype}: {compare(in_keras, in_torch)}")


def compare(ours: list[Any], theirs: list[Any]) -> str:
    """Print how many updates agree in step and count, and from which step on masks differ."""
    same_counts = sum(
        step == other_step and all(m.sum() == other[n].sum() for n, m in masks.items())
        for (step, masks), (other_step, other) in zip(ours, theirs, strict=True)
    )
    differing = [
        (step, sum(int((mask != other[name]).sum()) for name, mask in masks.items()))
        for (step, masks), (_, other) in zip(ours, theirs, strict=True)
    ]
    first = next(((step, bits) for step, bits in differing if bits), None)
    size = sum(mask.size for mask in ours[-1][1].values())
    masks = "no mask bit ever differs"
    if first:
        masks = (
            f"the first mask bits differ at step {first[0]} ({first[1]} of {size:,}); at the "
            f"last update {differing[-1][1]} do"
        )
    return f"{same_counts} of {len(ours)} updates agree in step and counts; {masks}"


def _policy(steps: int) -> dict[str, Any]:
    return {
        "schedule": {
            "kind": "polynomial",
            "final_sparsity": 0.9,
            "end_step": steps,
            "frequency": 10,
        }
    }


def _data(steps: int, dtype: str) -> tuple[Any, Any, list[Any]]:
    digits = mnist.load()
    chance = np.random.default_rng(0)
    order = chance.integers(0, len(digits.train_x), steps * BATCH)
    weights = [chance.normal(size=(o, i)).astype(dtype) / i**0.5 for i, o in pairwise(WIDTHS)]
    x = digits.train_x[order].reshape(len(order), -1).astype(dtype)
    return x, digits.train_y[order], weights


def train_keras(steps: int, dtype: str) -> None:
    """Train by SGD in Keras."""
    import keras

    x, y, weights = _data(steps, dtype)
    layers = [
        keras.layers.Dense(128, "relu", name="first", dtype=dtype),
        keras.layers.Dense(10, name="second", dtype=dtype),
    ]
    model = keras.Sequential([keras.Input((784,), dtype=dtype), *layers])
    for layer, weight in zip(layers, weights, strict=True):
        layer.set_weights([weight.T, np.zeros(len(weight))])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype=dtype)
    model.compile(keras.optimizers.SGD(0.1), loss)
    pruner = secateur.attach(model, _policy(steps))
    callbacks = [pruner.callback()]
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks)


def train_torch(steps: int, dtype: str) -> None:
    """Train by SGD in PyTorch."""
    import torch

    x, y, weights = _data(steps, dtype)
    model = torch.nn.Sequential()
    for name, weight in zip(("first", "second"), weights, strict=True):
        layer = torch.nn.Linear(*weight.shape[::-1], dtype=getattr(torch, dtype))
        layer.load_state_dict(
            {"weight": torch.tensor(weight), "bias": torch.zeros_like(layer.bias)}
        )
        model.add_module(name, layer)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    secateur.attach(model, _policy(steps), optimizer=optimizer)
    for images, labels in zip(
        torch.tensor(x).split(BATCH), torch.tensor(y).split(BATCH), strict=True
    ):
        optimizer.zero_grad()
        scores = model.second(model.first(images).relu())
        torch.nn.functional.cross_entropy(scores, labels).backward()
        optimizer.step()


def _observed(train: Any, steps: int, dtype: str) -> list[tuple[int, dict[str, Any]]]:
    diary = Diary()
    secateur.register(diary, "diary")
    try:
        train(steps, dtype)
    finally:
        secateur.unregister("diary")
    return diary.updates


if __name__ == "__main__":
    main()
