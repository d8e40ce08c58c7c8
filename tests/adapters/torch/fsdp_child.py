"""One rank of a sharded run that trains, saves and ends.  Argument: the output folder.

Every rank sees the same data, so that two of them compute what one would, bit for bit.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from leaving import leave
from sharded_networks import fsdp, network
from torch import nn
from torch.distributed.tensor import DTensor

import secateur

POLICY = {
    "schedule": {"kind": "linear", "final_sparsity": 0.75, "end_step": 6, "frequency": 2},
    "rules": [
        {"match": {"kind": "dense"}, "pattern": {"kind": "block", "out": 4, "in": 1}},
        {"match": {"kind": "conv"}, "distribution": {"kind": "threshold", "deviations": 0.7}},
        {"match": {}, "criterion": "movement", "distribution": "global"},
    ],
}


def train(model, pruner, optimizer, steps=8):
    for number in range(steps):
        generator = torch.Generator().manual_seed(number)
        images = torch.randn(4, 3, 6, 6, generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), torch.arange(4)).backward()
        optimizer.step()
        check(model, pruner)


def check(model, pruner):
    """Every kept count is that of the masks, and what they prune is zero."""
    zeros = {name: int((value == 0).sum()) for name, value in full(model).items()}
    for weight in pruner.report().weights:
        layer = weight.name.split(":")[0]
        if layer in ("conv", "up", "into", "out"):
            assert zeros[f"{layer}.weight"] == weight.size - weight.kept


def full(model):
    return {
        name: (value.full_tensor() if isinstance(value, DTensor) else value).detach()
        for name, value in model.named_parameters()
    }


def main(folder: Path) -> None:
    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    model = fsdp(network(), dist.get_world_size())
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    pruner = secateur.attach(model, POLICY, optimizer=optimizer)
    train(model, pruner, optimizer)
    pruner.save(folder / "state.npz")
    dcp.save({"model": model, "pruner": pruner}, checkpoint_id=folder / "checkpoint")
    weights = full(model)
    if dist.get_rank() == 0:
        torch.save(weights, folder / "weights.pt")
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
