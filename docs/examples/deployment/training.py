"""Training: dense, then every variant from the same dense network, each as long as the other.

Adam at 1e-3 for the dense epochs; then, pruned or not, its rate falls to 0 in a line or stays, as
the network says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from networks import NETWORKS, Network
from variants import POLICIES, between, in_one_shot

import secateur

_RATE = 1e-3
SUFFIXES = {"keras": ".keras", "torch": ".pt"}
_START = "start"
"""The dense network that every variant goes on from."""


@dataclass(frozen=True, order=True)
class Run:
    """One trained network."""

    network: str
    framework: str
    variant: str
    seed: int

    def file(self, folder: Path) -> Path:
        """Return where its weights lie."""
        word = "".join(c if c.isalnum() else "-" for c in self.variant)
        name = f"{self.network}-{self.framework}-{word}-{self.seed}{SUFFIXES[self.framework]}"
        return folder / name


def load(run: Run, folder: Path) -> Any:
    """Return a trained network."""
    path = run.file(folder)
    if run.framework == "keras":
        import keras

        return keras.models.load_model(path, compile=False)
    import torch

    model = NETWORKS[run.network].torch(run.seed)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def train(run: Run, folder: Path) -> Path:
    """Train a network, unless it is there, and return its file."""
    path = run.file(folder)
    if path.exists():
        return path
    network = NETWORKS[run.network]
    if network.data is None:
        model = getattr(network, run.framework)(run.seed)
        if policy := POLICIES[run.variant]:
            secateur.prune(model, in_one_shot(policy))
        return _save(model, path)
    if run.variant == _START:
        model, epochs, policy, falls = getattr(network, run.framework)(run.seed), 0, None, False
        epochs = network.epochs[0]
    else:
        start = Run(run.network, run.framework, _START, run.seed)
        train(start, folder)
        model, epochs, policy = load(start, folder), network.epochs[1], POLICIES[run.variant]
        policy, falls = policy and between(policy, *network.pruned), network.rate_falls
    fit = fit_keras if run.framework == "keras" else fit_torch
    fit(model, network, epochs, policy, run.seed, falls)
    return _save(model, path)


def _save(model: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_stem(f"unfinished-{path.stem}")
    if path.suffix == ".keras":
        model.save(unfinished)
    else:
        import torch

        torch.save(model.state_dict(), unfinished)
    return unfinished.replace(path)


def fit_keras(
    model: Any, network: Network, epochs: int, policy: Any, seed: int, falls: bool
) -> None:
    import keras

    found = network.data()
    keras.utils.set_random_seed(seed)
    steps = epochs * -(-len(found.train_x) // network.batch)
    rate = keras.optimizers.schedules.PolynomialDecay(_RATE, steps, 0.0) if falls else _RATE
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss)
    pruner = policy and secateur.attach(model, policy, total_steps=steps)
    callbacks = [pruner.callback()] if pruner else []
    model.fit(found.train_x, found.train_y, network.batch, epochs, verbose=0, callbacks=callbacks)
    if pruner:
        pruner.detach()
    model.compile(loss=loss)  # the file holds weights alone, without the moments of Adam


def fit_torch(
    model: Any, network: Network, epochs: int, policy: Any, seed: int, falls: bool
) -> None:
    import torch

    found = network.data()
    samples = torch.from_numpy(network.inputs("torch", found.train_x))
    labels = torch.from_numpy(found.train_y)
    steps = epochs * -(-len(samples) // network.batch)
    optimizer = torch.optim.Adam(model.parameters(), lr=_RATE, fused=True)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 1 - n / steps if falls else 1)
    pruner = policy and secateur.attach(model, policy, optimizer=optimizer, total_steps=steps)
    model.train()
    for batch in _batches(len(samples), network.batch, epochs, seed):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(samples[batch]), labels[batch]).backward()
        optimizer.step()
        rate.step()
    if pruner:
        pruner.detach()


def _batches(count: int, size: int, epochs: int, seed: int) -> Iterator[Any]:
    generator = np.random.default_rng(seed)
    for _ in range(epochs):
        order = generator.permutation(count)
        yield from (order[i : i + size] for i in range(0, count, size))
