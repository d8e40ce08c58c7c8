"""Draw the pictures of the README and the docs, from a real run on MNIST.

    python docs/examples/draw_figures.py [--run FOLDER]

Trains the demo's PyTorch network (a few minutes), or takes what the demo left in FOLDER:
torch-run.npz and torch-dense.pt.  Writes docs/figures/.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mnist
import mnist_training
import torch

import secateur
import secateur_plots

HERE = Path(__file__).parent
FIGURES = HERE.parent / "figures"
POLICY = HERE / "policies" / "mnist-90.toml"
WEIGHT = "dense1:kernel"
LENGTH = mnist_training.Length(dense=2, pruned=3)
SIDE = 40


def main() -> None:
    """Draw every picture, and say how large each is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", type=Path, help="a folder that the demo wrote to")
    folder = parser.parse_args().run
    if folder is None:
        folder = HERE / "output"
        folder.mkdir(exist_ok=True)
        mnist_training.train_torch(mnist.load(), LENGTH, POLICY, folder)
    FIGURES.mkdir(exist_ok=True)
    recording = secateur.Recording.load(folder / "torch-run.npz")
    draw(recording, torch.load(folder / "torch-dense.pt", weights_only=True))
    for file in sorted(FIGURES.iterdir()):
        print(f"{file.stat().st_size / 1024:7.0f} KiB  {file.name}")


def draw(recording: secateur.Recording, dense: dict[str, torch.Tensor]) -> None:
    """Draw what a recorded run and the weights before it show."""
    kernel = dense["dense1.weight"].numpy()
    middle = [length // 2 for length in kernel.shape]
    part = kernel[tuple(slice(start, start + SIDE) for start in middle)]
    save(secateur_plots.plot_masks(part, 0.8), "three-tensors.png")

    total = recording.steps[-1] * 4 // 3
    once = {"name": "at once", "schedule": {"kind": "one_shot", "final_sparsity": 0.9}}
    line = {"kind": "linear", "final_sparsity": 0.8, "end_step": "60%", "frequency": 20}
    policies = [POLICY, {"name": "linear", "schedule": line}, once]
    save(secateur_plots.plot_schedule(policies, total), "schedule.png")

    update = recording.updates(WEIGHT)[len(recording.updates(WEIGHT)) // 2]
    save(secateur_plots.plot_magnitudes(kernel, update.threshold), "magnitudes.png")

    kernels = {name: value.numpy().copy() for name, value in dense.items() if value.ndim > 1}
    rules = [{"match": {"name": "conv1*"}, "prune": False}, {"distribution": "erk"}]
    report = secateur.prune(kernels, {"schedule": once["schedule"], "rules": rules})
    save(secateur_plots.plot_sparsity(report), "sparsity.png")

    secateur_plots.animate(recording, mnist_training.PICTURED, FIGURES / "pruning.gif", seconds=4)


def save(figure: object, name: str) -> None:
    """Write a figure as it is shown on a page."""
    figure.savefig(FIGURES / name, dpi=110, metadata={"Software": None})  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
