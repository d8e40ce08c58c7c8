"""One policy file, a Keras and a PyTorch network, real MNIST.

    python docs/examples/one_policy_two_frameworks.py [--quick] [--framework keras|torch|both]

Shows that one policy gives both networks the same masks, then trains and prunes each, and
prints accuracy, sparsity and file sizes.  Results go to docs/examples/output/.
"""

from __future__ import annotations

import argparse
import gzip
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mnist
import mnist_networks
import mnist_training
import numpy as np
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import secateur
import secateur_plots

HERE = Path(__file__).parent
POLICY = HERE / "policies" / "mnist-90.toml"
NAMES = {"keras": "Keras", "torch": "PyTorch"}


@dataclass(frozen=True)
class Result:
    """What one framework came to."""

    framework: str
    dense_accuracy: float
    pruned_accuracy: float
    report: secateur.Report
    dense_bytes: int
    pruned_bytes: int


def main() -> None:
    """Run the demo."""
    arguments = _arguments()
    console = Console()
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    wanted = list(NAMES) if arguments.framework == "both" else [arguments.framework]
    _import_in_order(wanted)
    digits = mnist.load(arguments.data == "full")
    console.print(
        f"MNIST: {len(digits.train_x):,} images to train on, {len(digits.test_x):,} to test; "
        f"policy {POLICY.name}, fingerprint {secateur.Policy.load(POLICY).fingerprint[:12]}\n"
    )
    if len(wanted) == 2:
        console.print(compare_masks())
    length = mnist_training.Length.of(arguments.data == "full", arguments.quick)
    results = [train(framework, digits, length, output) for framework in wanted]
    table = summary(results)
    console.print(table)
    console.print(f"(dense after {length.dense} epochs, pruned after {length.pruned} more)")
    with (output / "results.txt").open("w") as file:
        Console(file=file, width=120).print(
            table, f"{platform.machine()}, {os.cpu_count()} cores; {length}"
        )
    console.print(f"\nresults, models and pictures are in {output}/")


def compare_masks() -> Table:
    """Prune twins by one policy, without training, and count the mask bits that differ."""
    keras_network = mnist_networks.keras_network()
    torch_network = mnist_networks.torch_network()
    mnist_networks.copy_weights(keras_network, torch_network)
    keras_masks = secateur.prune(keras_network, POLICY).masks
    torch_masks = secateur.prune(torch_network, POLICY).masks
    table = Table("weight", title="equal weights, one policy: do the masks agree?")
    for column in ("mask bits", "kept in Keras", "kept in PyTorch", "differing bits"):
        table.add_column(column, justify="right")
    for name, mask in keras_masks.items():
        other = torch_masks[name]
        row = (mask.size, mask.sum(), other.sum(), np.count_nonzero(mask != other))
        table.add_row(name, *(f"{number:,}" for number in row))
    return table


def train(
    framework: str, digits: mnist.Digits, length: mnist_training.Length, output: Path
) -> Result:
    """Train one network dense, then prune it while it trains on; save both, and a picture."""
    run: Callable[..., mnist_training.Run] = getattr(mnist_training, f"train_{framework}")
    done = run(digits, length, POLICY, output)
    draw(done, output / f"{framework}-masks.png", output / f"{framework}-pruning.gif")
    for file in (done.dense_file, done.pruned_file):
        file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes()))
    return Result(
        framework,
        done.dense_accuracy,
        done.pruned_accuracy,
        done.report,
        done.dense_file.stat().st_size,
        done.pruned_file.with_name(done.pruned_file.name + ".gz").stat().st_size,
    )


def summary(results: list[Result]) -> Table:
    """Return the table of all results."""
    table = Table(title="dense, and pruned by the policy", box=SIMPLE_HEAD, padding=0)
    table.add_column("framework", min_width=9)
    for column in ("dense accuracy", "pruned accuracy"):
        table.add_column(column, justify="right", min_width=8)
    table.add_column("sparsity by weight", min_width=13)
    for column in ("dense MiB", "pruned, gzipped", "ratio"):
        table.add_column(column, justify="right", min_width=5)
    for result in results:
        weights = "\n".join(
            f"{w.name.removesuffix(':kernel')} {w.sparsity:.4f}" for w in result.report.weights
        )
        table.add_row(
            NAMES[result.framework],
            f"{result.dense_accuracy:.2%}",
            f"{result.pruned_accuracy:.2%}",
            weights,
            f"{result.dense_bytes / 2**20:.2f}",
            f"{result.pruned_bytes / 2**20:.2f}",
            f"{result.dense_bytes / result.pruned_bytes:.1f}x",
        )
    return table


def draw(run: mnist_training.Run, picture: Path, animation: Path) -> None:
    """Draw one weight's mask before, midway and after, and as an animation."""
    recording = secateur.Recording.load(run.recording)
    found = list(recording.masks(mnist_training.PICTURED))
    chosen = [found[0], found[len(found) // 3], found[-1]]
    figure = Figure(figsize=(10, 7), layout="constrained")
    for ax, (update, mask) in zip(figure.subplots(len(chosen), 1), chosen, strict=True):
        title = f"step {update.step}: sparsity {update.sparsity:.3f}"
        secateur_plots.plot_mask(mask, ax, title=title)
    figure.savefig(picture, dpi=100)
    secateur_plots.animate(recording, mnist_training.PICTURED, animation)


def _import_in_order(wanted: list[str]) -> None:
    # Where both load in one process, PyTorch must come before TensorFlow.
    if "torch" in wanted:
        import torch  # noqa: F401
    if "keras" in wanted:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras  # noqa: F401


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer epochs: at most 2 minutes")
    parser.add_argument("--framework", choices=("keras", "torch", "both"), default="both")
    parser.add_argument(
        "--data", choices=("small", "full"), default="small", help="5,000 images, or all 70,000"
    )
    parser.add_argument("--output", default=HERE / "output", help="where results are written")
    return parser.parse_args()


if __name__ == "__main__":
    main()
