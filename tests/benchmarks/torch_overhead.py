"""What masking costs a PyTorch training step: dense, secateur, torch.nn.utils.prune, in turn.

    python tests/benchmarks/torch_overhead.py [--rounds 12] [--steps 20] [--task MNIST]

Each round trains each way for some steps, in an order that moves on from round to round, so
that a busy machine slows all of them alike; figures are medians over the rounds, and the
ratio of minima is the one that other work on the machine disturbs least.
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


TASKS = (
    Task("MNIST network, batch 64", mnist_network, lambda: _batch(64, 1, 28, 28)),
    Task("transformer encoder, 16 x 64 tokens", Encoder, lambda: _batch(16, 64, 512)),
)


def _batch(size: int, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(size, *shape), torch.randint(10, (size,))


def dense(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Leave the model dense."""


def _secateur(frequency: int) -> Callable[[nn.Module, torch.optim.Optimizer], None]:
    def way(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        schedule = {"kind": "constant", "final_sparsity": SPARSITY, "frequency": frequency}
        secateur.attach(model, {"schedule": schedule}, optimizer=optimizer)

    return way


def torch_prune(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Mask the same weights by torch.nn.utils.prune."""
    for module in list(model.modules()):
        if type(module) in (nn.Linear, nn.Conv2d):  # it cannot train attention's out_proj
            prune.l1_unstructured(module, "weight", SPARSITY)
        elif isinstance(module, nn.MultiheadAttention):
            prune.l1_unstructured(module, "in_proj_weight", SPARSITY)


WAYS: dict[str, Callable[[nn.Module, torch.optim.Optimizer], None]] = {
    "dense": dense,
    "secateur, masks held": _secateur(NEVER),
    "secateur, update every step": _secateur(1),
    "torch.nn.utils.prune": torch_prune,
}


def _trainer(task: Task, way: str, clock: Callable[[], float]) -> Callable[[int], float]:
    torch.manual_seed(0)
    model = task.model().train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    WAYS[way](model, optimizer)
    data, labels = task.batch()

    def seconds_per_step(steps: int) -> float:
        begin = clock()
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(data), labels).backward()
            optimizer.step()
        return (clock() - begin) / steps

    return seconds_per_step


def measure(
    task: Task, rounds: int, steps: int, clock: Callable[[], float]
) -> Iterator[dict[str, object]]:
    """Return one row for each way: median seconds a step, and the median ratio to dense."""
    trainers = {way: _trainer(task, way, clock) for way in WAYS}
    for trainer in trainers.values():
        trainer(3)
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    order = list(WAYS)
    for number in range(rounds):
        for way in order:
            times[way].append(trainers[way](steps))
        order.append(order.pop(0))
        print(f"\r{task.name}: round {number + 1} of {rounds}", end="", file=sys.stderr)
    print(file=sys.stderr)
    held, always = times["secateur, masks held"], times["secateur, update every step"]
    times["secateur, update every 100 steps (of the two above)"] = [
        0.99 * one + 0.01 * other for one, other in zip(held, always, strict=True)
    ]
    for way, seconds in times.items():
        ratios = [ours / plain for ours, plain in zip(seconds, times["dense"], strict=True)]
        yield {
            "task": task.name,
            "way": way,
            "milliseconds a step": round(1000 * statistics.median(seconds), 2),
            "ratio to dense": round(statistics.median(ratios), 3),
            "ratio of minima": round(min(seconds) / min(times["dense"]), 3),
        }


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=12)
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
    print("| " + " | ".join(rows[0]) + " |\n|" + " --- |" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |", flush=True)


if __name__ == "__main__":
    main()
