"""One rank that goes on from the checkpoint of fsdp_child.  Argument: its folder."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from fsdp_child import POLICY, check, full
from leaving import leave
from sharded_networks import fsdp, network

import secateur


def main(folder: Path) -> None:
    dist.init_process_group("gloo")
    ranks = dist.get_world_size()
    for number, way in enumerate(("checkpoint", "file")):
        model = fsdp(network(), ranks)
        pruner = secateur.attach(model, POLICY)
        dcp.load({"model": model}, checkpoint_id=folder / "checkpoint")
        if way == "checkpoint":
            dcp.load({"pruner": pruner}, checkpoint_id=folder / "checkpoint")
        else:
            pruner.load(folder / "state.npz")
        pruner.save(folder / f"again-{ranks}-{number}.npz")
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        pruner.step()
        check(model, pruner)
        assert pruner.current_step == 9
        weights = full(model)
        if dist.get_rank() == 0:
            torch.save(weights, folder / f"weights-{ranks}-{number}.pt")
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
