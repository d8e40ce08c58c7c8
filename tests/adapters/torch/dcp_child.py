"""One rank that loads the checkpoint of ddp_child, on whatever number of ranks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from ddp_child import POLICY
from leaving import leave
from torch import nn

import secateur


def main(folder: Path) -> None:
    dist.init_process_group("gloo")
    model = nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 5))
    pruner = secateur.attach(model, POLICY)
    dcp.load({"model": model, "pruner": pruner}, checkpoint_id=folder / "checkpoint")
    out = folder / f"loaded-{dist.get_world_size()}-{dist.get_rank()}.npz"
    np.savez(out, step=pruner.current_step, weight=model[0].weight.detach(), **pruner.masks)
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
