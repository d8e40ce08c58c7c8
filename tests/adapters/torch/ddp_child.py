"""One rank of a DDP run.  Arguments: an output folder, and "dense" or "pruned"."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from leaving import leave
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import secateur

POLICY = {
    "schedule": {"kind": "linear", "final_sparsity": 0.9, "end_step": 6, "frequency": 2},
    "rules": [{"match": {}, "distribution": "global"}],
}


def main(folder: Path, way: str) -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 5)))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    generator = torch.Generator().manual_seed(rank)
    with torch.profiler.profile() as profile:
        pruner = secateur.attach(model, POLICY, optimizer=optimizer) if way == "pruned" else None
        for _ in range(8):
            optimizer.zero_grad()
            data = torch.randn(16, 20, generator=generator)  # another on each rank
            nn.functional.cross_entropy(model(data), torch.arange(16) % 5).backward()
            optimizer.step()
    calls = sum("gloo" in event.name for event in profile.events())
    weights = {key: value.numpy() for key, value in model.state_dict().items()}
    np.savez(folder / f"{way}-{rank}.npz", calls=calls, **weights)
    if pruner:
        np.savez(folder / f"masks-{rank}.npz", **pruner.masks)
        dcp.save({"model": model.module, "pruner": pruner}, checkpoint_id=folder / "checkpoint")
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
