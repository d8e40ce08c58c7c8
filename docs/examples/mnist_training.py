"""Training the MNIST network in each framework: what secateur adds is one line in each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist import Digits
from mnist_networks import keras_network, torch_network
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import secateur

BATCH = 64
PICTURED = "conv2:kernel"


@dataclass(frozen=True)
class Length:
    """How many epochs dense, and how many more while pruning."""

    dense: int
    pruned: int

    @classmethod
    def of(cls, full: bool, quick: bool) -> Length:
        """Return the length that fits the data and the user's patience."""
        if full:
            return cls(1, 1) if quick else cls(2, 3)
        return cls(2, 3) if quick else cls(6, 10)


@dataclass(frozen=True)
class Run:
    """What training one network came to."""

    dense_accuracy: float
    pruned_accuracy: float
    report: secateur.Report
    recording: Path
    dense_file: Path
    pruned_file: Path


def train_keras(digits: Digits, length: Length, policy: Path, output: Path) -> Run:
    """Train, then prune while training on, in Keras."""
    import keras

    model = keras_network()
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    steps = -(-len(digits.train_x) // BATCH)
    fit = {"x": digits.train_x, "y": digits.train_y, "batch_size": BATCH, "verbose": 0}
    with _progress("Keras, dense", length.dense * steps) as tick:
        model.fit(**fit, epochs=length.dense, callbacks=[_ticking(tick)])
    dense_accuracy = _keras_accuracy(model, digits)
    dense_file = save_keras(model, output / "keras-dense.keras")

    recorder = secateur.Recorder(output / "keras-run.npz", if_exists="replace")
    total = length.pruned * steps
    pruner = secateur.attach(model, policy, total_steps=total, observers=[recorder])
    with _progress("Keras, pruned", length.pruned * steps) as tick:
        callbacks = [pruner.callback(), _ticking(tick)]
        model.fit(**fit, epochs=length.pruned, callbacks=callbacks)
    return Run(
        dense_accuracy,
        _keras_accuracy(model, digits),
        pruner.report(),
        recorder.path,
        dense_file,
        save_keras(model, output / "keras-pruned.keras"),
    )


def train_torch(digits: Digits, length: Length, policy: Path, output: Path) -> Run:
    """Train, then prune while training on, in PyTorch."""
    import torch

    model = torch_network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    images, labels = torch_data(digits.train_x, digits.train_y)
    steps = -(-len(images) // BATCH)

    def epoch(tick: Any) -> None:
        model.train()
        for batch in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            tick()

    with _progress("PyTorch, dense", length.dense * steps) as tick:
        for _ in range(length.dense):
            epoch(tick)
    dense_accuracy = torch_accuracy(model, digits)
    dense_file = save_torch(model, output / "torch-dense.pt")

    recorder = secateur.Recorder(output / "torch-run.npz", if_exists="replace")
    total = length.pruned * steps
    pruner = secateur.attach(
        model, policy, optimizer=optimizer, total_steps=total, observers=[recorder]
    )
    with _progress("PyTorch, pruned", length.pruned * steps) as tick:
        for _ in range(length.pruned):
            epoch(tick)
    return Run(
        dense_accuracy,
        torch_accuracy(model, digits),
        pruner.report(),
        recorder.path,
        dense_file,
        save_torch(model, output / "torch-pruned.pt"),
    )


@contextmanager
def _progress(title: str, steps: int) -> Iterator[Any]:
    columns = (
        TextColumn("{task.description:16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task(title, total=steps)
        yield lambda: bar.advance(task)


def _ticking(tick: Any) -> Any:
    import keras

    return keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: tick())


def _keras_accuracy(model: Any, digits: Digits) -> float:
    return float(model.evaluate(digits.test_x, digits.test_y, verbose=0)[1])


def save_keras(model: Any, path: Path) -> Path:
    """Save the weights alone, without the optimizer's, as one would ship them."""
    import keras

    plain = keras.Sequential.from_config(model.get_config())
    plain.set_weights(model.get_weights())
    plain.save(path)
    return path


def torch_data(images: Any, labels: Any) -> Any:
    import torch

    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels)


def torch_accuracy(model: Any, digits: Digits) -> float:
    import torch

    images, labels = torch_data(digits.test_x, digits.test_y)
    model.eval()
    with torch.no_grad():
        found = torch.cat([model(part).argmax(1) for part in images.split(1000)])
    return float((found == labels).float().mean())


def save_torch(model: Any, path: Path) -> Path:
    import torch

    torch.save(model.state_dict(), path)
    return path
