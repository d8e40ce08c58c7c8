"""What masking costs a PyTorch training step: dense, secateur, torch.nn.utils.prune, in turn.

    python tests/benchmarks/torch_overhead.py [--rounds 8] [--steps 20] [--task MNIST]

Each round trains each way for some steps, in an order that moves on from round to round, so
that a busy machine slows all of them alike; figures are medians over the rounds, and the
ratio of the fastest rounds is the one that other work on the machine disturbs least.  "Update
every 100" is 99 parts of the held masks and one of those recomputed at every step.  Extra
bytes are those that pruning keeps between steps, beside the dense model's parameters.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils import prune

import secateur

SPARSITY = 0.9
NEVER = 1 << 40


@dataclass(frozen=True)
class Task:
    """A network and a batch for it."""

    name: str
    model: Callable[[], nn.Module]
    batch: Callable[[], tuple[torch.Tensor, torch.Tensor]]


def mnist_network() -> nn.Module:
    """Make the classic MNIST network of 3.27 M parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 1024),
        nn.ReLU(),
        nn.Dropout(0.4),
        nn.Linear(1024, 10),
    )


class Encoder(nn.Module):
    """A transformer encoder of 4 layers, d = 512, and a classifier: 12.6 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(512, 8, 2048, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 4)
        self.head = nn.Linear(512, 10)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Classify tokens of shape (batch, length, 512)."""
        return self.head(self.layers(tokens).mean(1))


Way = Callable[[nn.Module, torch.optim.Optimizer], int]
TASKS = (
    Task("MNIST network, batch 128", mnist_network, lambda: _batch(128, 1, 28, 28)),
    Task("transformer encoder, 16 x 64 tokens", Encoder, lambda: _batch(16, 64, 512)),
)


def _batch(size: int, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(size, *shape), torch.randint(10, (size,))


def dense(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Leave the model dense; every way returns the bytes that it keeps."""
    return 0


def _secateur(frequency: int) -> Way:
    def way(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        schedule = {"kind": "constant", "final_sparsity": SPARSITY, "frequency": frequency}
        pruner = secateur.attach(model, {"schedule": schedule}, optimizer=optimizer)
        # the masks that users see are the memory of those that are applied (tested)
        return sum(mask.nbytes for mask in pruner.masks.values())

    return way


def torch_prune(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Mask the same weights by torch.nn.utils.prune."""
    for module in list(model.modules()):
        if type(module) in (nn.Linear, nn.Conv2d):  # it cannot train attention's out_proj
            prune.l1_unstructured(module, "weight", SPARSITY)
        elif isinstance(module, nn.MultiheadAttention):
            prune.l1_unstructured(module, "in_proj_weight", SPARSITY)
    masks = {name for name, _ in model.named_buffers() if name.endswith("_mask")}
    computed = (name.removesuffix("_mask").rpartition(".") for name in masks)
    return sum(model.get_buffer(name).nbytes for name in masks) + sum(
        getattr(model.get_submodule(path), name).nbytes for path, _, name in computed
    )


WAYS: dict[str, Way] = {
    "dense": dense,
    "secateur, masks held": _secateur(NEVER),
    "secateur, update every step": _secateur(1),
    "torch.nn.utils.prune": torch_prune,
}


def _trainer(
    task: Task, way: str, clock: Callable[[], float]
) -> tuple[Callable[[int], float], float]:
    torch.manual_seed(0)
    model = task.model().train()
    weights = sum(parameter.numel() for parameter in model.parameters())
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    extra = WAYS[way](model, optimizer) / weights
    data, labels = task.batch()

    def seconds_per_step(steps: int) -> float:
        begin = clock()
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(data), labels).backward()
            optimizer.step()
        return (clock() - begin) / steps

    return seconds_per_step, extra


def measure(
    task: Task, rounds: int, steps: int, clock: Callable[[], float]
) -> Iterator[dict[str, object]]:
    """Yield one row for each way: median seconds a step, and the median ratio to dense."""
    extra: dict[str, float] = {}
    trainers = {}
    for way in WAYS:
        trainers[way], extra[way] = _trainer(task, way, clock)
        trainers[way](3)
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    order = list(WAYS)
    for number in range(rounds):
        for way in order:
            times[way].append(trainers[way](steps))
        order.append(order.pop(0))
        print(f"\r{task.name}: round {number + 1} of {rounds}", end="", file=sys.stderr)
    print(file=sys.stderr)
    held, always = times["secateur, masks held"], times["secateur, update every step"]
    every_100 = "secateur, update every 100 steps"
    extra[every_100] = extra["secateur, masks held"]
    times[every_100] = [0.99 * one + 0.01 * other for one, other in zip(held, always, strict=True)]
    for way, seconds in times.items():
        ratios = [ours / plain for ours, plain in zip(seconds, times["dense"], strict=True)]
        yield {
            "task": task.name,
            "way": way,
            "ms a step": round(1000 * statistics.median(seconds), 2),
            "to dense": round(statistics.median(ratios), 3),
            "of fastest": round(min(seconds) / min(times["dense"]), 3),
            "extra bytes a weight": round(extra[way], 1),
        }


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--task", default="", help="only tasks whose name holds this")
    parser.add_argument("--cpu", action="store_true", help="processor time, on a busy machine")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.cpu else time.perf_counter
    for task in TASKS:
        if options.task in task.name:
            show(list(measure(task, options.rounds, options.steps, clock)), options.json)


def show(rows: list[dict[str, object]], as_json: bool) -> None:
    """Print the rows of a task as a line of JSON, or as a table in Markdown."""
    if as_json:
        print(json.dumps(rows), flush=True)
        return
    print("| " + " | ".join(rows[0]) + " |\n| --- | --- |" + " --: |" * (len(rows[0]) - 2))
    for row in rows:
        print("| " + " | ".join(map(_cell, row.values())) + " |", flush=True)
    print()


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
