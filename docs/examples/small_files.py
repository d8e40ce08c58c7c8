"""MNIST at 90 and 95 % sparsity in small files, from Keras and from PyTorch.

    python docs/examples/small_files.py [--framework keras|torch|both] [--page PAGE]

Trains the network dense, prunes it while it trains on, packs it in each form, fills a fresh
network of each framework from each file, and evaluates both on all test images.  Trained networks
are kept in --output, and a network that is there is not trained again.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mnist
import mnist_networks
import mnist_training
import numpy as np
import page_tables

import secateur

HERE = Path(__file__).parent
LENGTH = mnist_training.Length(1, 2)
MORE_STEPS = 400
"""How many more optimizer updates lead from 90 to 95 %."""
FORMS = (("float", None), ("int8", None), ("clustered", 6), ("clustered", 4), ("clustered", 3))
GOALS = {
    (0.9, "float", None): 1_250_000,
    (0.9, "int8", None): 500_000,
    (0.9, "clustered", 3): 320_000,
    (0.95, "clustered", 3): 200_000,
}
NAMES = {"keras": "Keras", "torch": "PyTorch"}
Row = tuple[object, ...]


@dataclass(frozen=True)
class Framework:
    """What differs between the two frameworks.

    Attributes:
        suffix: The suffix of its files of weights.
        fresh: Makes an untrained network.
        train: Trains a network dense, prunes it to 90 %, and saves both.
        load: Fills a network from a file that `save` wrote.
        save: Writes the weights of a network.
        prune_on: Prunes a trained network by a policy, in some more optimizer updates.
        accuracy: Evaluates a network on the test images.

    """

    suffix: str
    fresh: Callable[[int], Any]
    train: Callable[..., mnist_training.Run]
    load: Callable[[Path], Any]
    save: Callable[[Any, Path], Path]
    prune_on: Callable[[Any, mnist.Digits, Path], None]
    accuracy: Callable[[Any, mnist.Digits], float]


def main() -> None:
    """Run the comparison."""
    arguments = _arguments()
    digits = mnist.load(full=True)
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    wanted = list(NAMES) if arguments.framework == "both" else [arguments.framework]
    rows = [row for name in wanted for row in _rows(name, digits, output, arguments.sparsity)]
    head = (
        *("trained in", "sparsity", "form", "bytes", "times smaller", "accuracy"),
        *("in the other framework", "goal"),
    )
    text = "\n\n".join([page_tables.table(head, rows, words=3), _measured()])
    page_tables.show(text, __file__, arguments.page)


def _rows(name: str, digits: mnist.Digits, output: Path, most: float) -> Iterator[Row]:
    framework = FRAMEWORKS[name]()
    files = _trained(framework, name, digits, output, most)
    dense = files[0.0].stat().st_size
    for sparsity, file in files.items():
        model = framework.load(file)
        size, accuracy = file.stat().st_size, f"{framework.accuracy(model, digits):.2%}"
        own = f"its own file, `{file.suffix}`"
        yield (NAMES[name], sparsity, own, size, _times(dense, size), accuracy, "", "")
        if sparsity:
            sizes = secateur.sizes(model)
            for form, size in (("the same, xz", sizes.xz), ("entropy", sizes.entropy)):
                yield (NAMES[name], sparsity, form, size, _times(dense, size), "", "", "")
            for values, bits in FORMS:
                yield _packed(framework, name, digits, model, sparsity, values, bits, dense, output)


def _trained(
    framework: Framework, name: str, digits: mnist.Digits, output: Path, most: float
) -> dict[float, Path]:
    """Return the files of the trained networks, by sparsity; what is missing is trained."""
    files = {
        0.0: output / f"{name}-dense{framework.suffix}",
        0.9: output / f"{name}-pruned{framework.suffix}",
    }
    if not files[0.9].exists():
        framework.train(digits, LENGTH, HERE / "policies" / "mnist-90.toml", output)
    if most == 0.9:
        return files
    sparser = output / f"{name}-pruned-95{framework.suffix}"
    if not sparser.exists():
        model = framework.load(files[0.9])
        framework.prune_on(model, digits, HERE / "policies" / "mnist-95.toml")
        framework.save(model, sparser)
    return {**files, 0.95: sparser}


def _packed(
    framework: Framework,
    name: str,
    digits: mnist.Digits,
    model: Any,
    sparsity: float,
    values: str,
    bits: int | None,
    dense: int,
    output: Path,
) -> Row:
    """Pack a network, fill fresh ones from the file, and return what it came to."""
    form = values if bits is None else f"{values}, {bits} bits"
    path = output / f"{name}-{sparsity}-{values}{bits or ''}.packed"
    size = secateur.pack(model, path, values, bits, overwrite=True).path.stat().st_size
    fresh = framework.fresh(1)
    secateur.load_packed(path, fresh)
    secateur.quantize_check(model, fresh).check()
    other = FRAMEWORKS[next(each for each in NAMES if each != name)]()
    twin = other.fresh(1)
    secateur.load_packed(path, twin)
    goal = GOALS.get((sparsity, values, bits))
    met = "" if goal is None else f"{goal:,}: {'met' if size <= goal else 'missed'}"
    found = [f"{framework.accuracy(fresh, digits):.2%}", f"{other.accuracy(twin, digits):.2%}"]
    return (NAMES[name], sparsity, f"packed, {form}", size, _times(dense, size), *found, met)


def _times(dense: int, size: int) -> str:
    return f"{dense / size:.1f}"


def _keras() -> Framework:
    import keras

    def load(path: Path) -> Any:
        return keras.models.load_model(path)

    def prune_on(model: Any, digits: mnist.Digits, policy: Path) -> None:
        model.compile(
            keras.optimizers.Adam(5e-4),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        pruner = secateur.attach(model, policy, total_steps=MORE_STEPS)
        chosen = np.random.default_rng(0).permutation(len(digits.train_x))
        chosen = chosen[: MORE_STEPS * mnist_training.BATCH]
        model.fit(
            digits.train_x[chosen],
            digits.train_y[chosen],
            mnist_training.BATCH,
            callbacks=[pruner.callback()],
            verbose=0,
        )
        pruner.detach()

    def accuracy(model: Any, digits: mnist.Digits) -> float:
        found = model.predict(digits.test_x, batch_size=1000, verbose=0).argmax(1)
        return float((found == digits.test_y).mean())

    return Framework(
        ".keras",
        mnist_networks.keras_network,
        mnist_training.train_keras,
        load,
        mnist_training.save_keras,
        prune_on,
        accuracy,
    )


def _torch() -> Framework:
    import torch

    def load(path: Path) -> Any:
        model = mnist_networks.torch_network()
        model.load_state_dict(torch.load(path, weights_only=True))
        return model

    def prune_on(model: Any, digits: mnist.Digits, policy: Path) -> None:
        optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
        images, labels = mnist_training.torch_data(digits.train_x, digits.train_y)
        batches = torch.randperm(len(images)).split(mnist_training.BATCH)[:MORE_STEPS]
        pruner = secateur.attach(model, policy, optimizer=optimizer, total_steps=MORE_STEPS)
        model.train()
        for batch in batches:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        pruner.detach()

    return Framework(
        ".pt",
        mnist_networks.torch_network,
        mnist_training.train_torch,
        load,
        mnist_training.save_torch,
        prune_on,
        mnist_training.torch_accuracy,
    )


FRAMEWORKS: dict[str, Callable[[], Framework]] = {"keras": _keras, "torch": _torch}


def _measured() -> str:
    return (
        f"{page_tables.versions('keras', 'torch', 'numpy')} {platform.machine()}, "
        f"{os.cpu_count()} cores; dense after {LENGTH.dense} epoch, 0.9 after {LENGTH.pruned} "
        f"more, 0.95 after {MORE_STEPS} updates more. Accuracy on all 10,000 test images."
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--framework", choices=[*NAMES, "both"], default="both")
    parser.add_argument("--sparsity", type=float, choices=[0.9, 0.95], default=0.95, help="at most")
    parser.add_argument("--output", default=str(HERE / "output"))
    parser.add_argument("--page", type=Path, help="write the table into this page of the docs")
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import torch  # noqa: F401  torch must come before TensorFlow in one process

    main()
