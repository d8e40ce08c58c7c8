"""Twins trained side by side: the same steps, the same counts, and the same masks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")  # before Keras may load TensorFlow
import keras  # noqa: E402

import secateur  # noqa: E402

STEPS, BATCH, WIDTHS = 60, 16, (12, 24, 3)
POLICY = {
    "schedule": {
        "kind": "polynomial",
        "final_sparsity": 0.85,
        "begin_step": 5,
        "end_step": 45,
        "frequency": 4,
    },
    "distribution": "global",
}


class Diary:
    """An observer that keeps every update of the masks."""

    def __init__(self) -> None:
        self.updates: list[tuple[int, dict[str, Any]]] = []

    @secateur.hookimpl
    def secateur_masks_updated(self, event: secateur.MasksUpdated) -> None:
        self.updates.append((event.step, dict(event.masks)))


@contextmanager
def observed() -> Iterator[Diary]:
    diary = Diary()
    secateur.register(diary, "diary")
    try:
        yield diary
    finally:
        secateur.unregister("diary")


def data(dtype: str) -> tuple[Any, Any, list[Any]]:
    chance = np.random.default_rng(0)
    x = chance.normal(size=(STEPS * BATCH, WIDTHS[0])).astype(dtype)
    y = chance.integers(0, WIDTHS[-1], STEPS * BATCH)
    weights = [chance.normal(size=(out, into)).astype(dtype) / 3 for into, out in pairwise(WIDTHS)]
    return x, y, weights


def train_keras(dtype: str) -> list[tuple[int, dict[str, Any]]]:
    x, y, weights = data(dtype)
    layers = [
        keras.layers.Dense(24, "relu", name="first", dtype=dtype),
        keras.layers.Dense(3, name="second", dtype=dtype),
    ]
    model = keras.Sequential([keras.Input((12,), dtype=dtype), *layers])
    for layer, weight in zip(layers, weights, strict=True):
        layer.set_weights([weight.T, np.zeros(len(weight))])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype=dtype)
    model.compile(keras.optimizers.SGD(0.1), loss)
    with observed() as diary:
        pruner = secateur.attach(model, POLICY)
        callbacks = [pruner.callback()]
        model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks)
    assert pruner.current_step == STEPS
    return diary.updates


def train_torch(dtype: str) -> list[tuple[int, dict[str, Any]]]:
    x, y, weights = data(dtype)
    model = torch.nn.Sequential()
    for name, weight in zip(("first", "second"), weights, strict=True):
        layer = torch.nn.Linear(*weight.shape[::-1], dtype=getattr(torch, dtype))
        layer.load_state_dict(
            {
                "weight": torch.tensor(weight),
                "bias": torch.zeros(len(weight), dtype=layer.weight.dtype),
            }
        )
        model.add_module(name, layer)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with observed() as diary:
        pruner = secateur.attach(model, POLICY, optimizer=optimizer)
        for images, labels in zip(
            torch.tensor(x).split(BATCH), torch.tensor(y).split(BATCH), strict=True
        ):
            optimizer.zero_grad()
            scores = model.second(model.first(images).relu())
            torch.nn.functional.cross_entropy(scores, labels).backward()
            optimizer.step()
    assert pruner.current_step == STEPS
    return diary.updates


def kept(updates: list[tuple[int, dict[str, Any]]]) -> list[tuple[int, int]]:
    """Return how many elements are kept in all at each update."""
    return [(step, sum(int(mask.sum()) for mask in masks.values())) for step, masks in updates]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_steps_of_update_and_counts_agree_at_every_step(dtype: str) -> None:
    in_keras, in_torch = train_keras(dtype), train_torch(dtype)
    assert kept(in_keras) == kept(in_torch)
    assert [step for step, _ in in_keras] == [*range(5, 46, 4)]


def test_in_float64_the_masks_agree_to_the_end() -> None:
    for (step, ours), (_, theirs) in zip(
        train_keras("float64"), train_torch("float64"), strict=True
    ):
        for name, mask in ours.items():
            assert np.array_equal(mask, theirs[name]), f"step {step}, {name}"
