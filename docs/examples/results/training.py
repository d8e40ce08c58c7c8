"""Training one network: equal in Keras and in PyTorch but for how their sums round.

Both start from the same weights, take the same samples in the same order, and Adam's rate falls
from `rate` to 0 in a line; pruned or not, a run has the same number of updates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from networks import Network, fill_keras, fill_torch
from records import Outcome, Run
from samples import Split

EPSILON = 1e-7
_SEEN_EVERY = 20
"""How many updates lie between two points of a recorded course."""
SUFFIXES = {"keras": ".keras", "torch": ".safetensors"}


@dataclass(frozen=True)
class Recipe:
    """How long and how fast a network is trained."""

    epochs: int
    batch: int
    rate: float


@dataclass(frozen=True)
class Training:
    """All that one training needs, besides the framework and the policy.

    Attributes:
        network: What is trained.
        sizes: The widths of its hidden layers.
        split: The samples.
        recipe: How long and how fast.
        seed: Of the initial weights and the order of the samples.
        start: A saved network of the same framework whose weights are trained on.

    """

    network: Network
    sizes: tuple[int, ...]
    split: Split
    recipe: Recipe
    seed: int
    start: Path | None = None

    @property
    def steps(self) -> int:
        """How many updates there are."""
        return self.recipe.epochs * -(-len(self.split.train[0]) // self.recipe.batch)

    def orders(self) -> Iterator[Any]:
        """Yield the order of the samples of each epoch."""
        random = np.random.default_rng((self.seed, 1))
        for _ in range(self.recipe.epochs):
            yield random.permutation(len(self.split.train[0]))


def classify(run: Run, training: Training, folder: Path) -> Outcome:
    """Train a classifier by the policy of a run, save it, and return its accuracy in percent."""
    fit, save = (_fit_keras, save_keras) if run.framework == "keras" else (_fit_torch, save_torch)
    model, more = fit(training, run.policy, run.options.get("course", False))
    path = folder / f"{run.name}{SUFFIXES[run.framework]}"
    save(model, path)
    return measured(labels_of(run.framework), model, training, path, more)


def measured(
    labels: Any, model: Any, training: Training, path: Path, more: Mapping[str, Any]
) -> Outcome:
    """Return the accuracy of a network that was saved, in percent."""
    chosen_on, tested_on = (
        100 * float((labels(model, x) == y).mean())
        for x, y in (training.split.validation, training.split.test)
    )
    more = {"validation": chosen_on, "steps": training.steps, **more}
    return Outcome("accuracy, %", tested_on, path, more)


def labels_of(framework: str) -> Any:
    """Return the function that tells the class a network of a framework gives each sample."""
    return keras_labels if framework == "keras" else torch_labels


def fresh_keras(training: Training) -> Any:
    """Return the network in Keras, with the weights that its training starts from."""
    import keras

    model = training.network.keras(keras, *training.sizes)
    if training.start:
        model.load_weights(training.start)
    else:
        fill_keras(model, training.network.initial(training.seed, training.sizes))
    return model


def fresh_torch(training: Training) -> Any:
    """Return the network in PyTorch, with the weights that its training starts from."""
    model = training.network.torch(*training.sizes)
    if training.start:
        from safetensors.torch import load_file

        model.load_state_dict(load_file(training.start))
    else:
        fill_torch(model, training.network.initial(training.seed, training.sizes))
    return model


def _fit_keras(
    training: Training, policy: Mapping[str, Any] | None, course: bool
) -> tuple[Any, dict[str, Any]]:
    if course:
        raise ValueError("only a run in PyTorch records its course")
    import keras

    model = fresh_keras(training)
    rate = keras.optimizers.schedules.PolynomialDecay(training.recipe.rate, training.steps, 0.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate, epsilon=EPSILON), loss, jit_compile=False)
    pruner = policy and _attached(model, policy, total_steps=training.steps)
    callbacks = [pruner.callback()] if pruner else []
    x, y = training.split.train
    for order in training.orders():
        model.fit(
            x[order], y[order], training.recipe.batch, shuffle=False, verbose=0, callbacks=callbacks
        )
    return model, _ended(pruner)


def _fit_torch(
    training: Training, policy: Mapping[str, Any] | None, course: bool
) -> tuple[Any, dict[str, Any]]:
    model = fresh_torch(training)
    optimizer, updates = torch_training(training, model)
    pruner = policy and _attached(model, policy, optimizer=optimizer, total_steps=training.steps)
    losses, seen = [], []
    for step, loss in enumerate(updates, 1):
        losses.append(loss)
        if pruner:
            pruner.observe(loss=loss)
        if course and step % _SEEN_EVERY == 0:
            sparsity = pruner.report().sparsity if pruner else 0.0
            seen.append((step, round(mean(losses[-_SEEN_EVERY:]), 4), round(sparsity, 4)))
    return model, _ended(pruner) | ({"course": seen} if course else {})


def torch_training(training: Training, model: Any) -> tuple[Any, Iterator[float]]:
    """Return the optimizer of a network, and its updates: each yields the loss it came from."""
    import torch

    torch.set_num_threads(1)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learned, training.recipe.rate, eps=EPSILON, fused=True)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / training.steps)
    x, y = (torch.from_numpy(part) for part in training.split.train)

    def updates() -> Iterator[float]:
        model.train()
        for order in training.orders():
            for batch in torch.from_numpy(order).split(training.recipe.batch):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(model(x[batch]), y[batch])
                loss.backward()
                optimizer.step()
                rate.step()
                yield float(loss.detach())

    return optimizer, updates()


def _attached(model: Any, policy: Mapping[str, Any], **more: Any) -> Any:
    import gates  # noqa: F401  a policy may name its criterion

    import secateur  # not in the environment of the peers

    return secateur.attach(model, policy, **more)


def _ended(pruner: Any) -> dict[str, Any]:
    """Return what the pruner says of its run, and take it off."""
    if not pruner:
        return {}
    found = {"sparsity": pruner.report().sparsity}
    pruner.detach()
    return found


def keras_labels(model: Any, samples: Any) -> Any:
    return model.predict(samples, batch_size=500, verbose=0).argmax(1)


def torch_labels(model: Any, samples: Any) -> Any:
    import torch

    model.eval()
    with torch.inference_mode():
        parts = torch.from_numpy(samples).split(500)
        return np.concatenate([model(part).argmax(1).numpy() for part in parts])


def save_keras(model: Any, path: Path) -> None:
    """Save a network without what the optimizer keeps."""
    model.compile(loss="mse")
    unfinished = path.with_stem(f"unfinished-{path.stem}")
    model.save(unfinished)
    unfinished.replace(path)


def save_torch(model: Any, path: Path) -> None:
    """Save the weights of a network."""
    from safetensors.torch import save_file

    unfinished = path.with_stem(f"unfinished-{path.stem}")
    save_file({n: value.contiguous() for n, value in model.state_dict().items()}, unfinished)
    unfinished.replace(path)
