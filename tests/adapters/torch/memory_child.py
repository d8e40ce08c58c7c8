"""One rank: the peak memory of pruning a large sharded matrix by each policy, and what it calls."""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path

import torch
import torch.distributed as dist
from leaving import leave
from sharded_networks import POLICIES
from torch import nn
from torch.distributed.fsdp import fully_shard

import secateur

SMALL, LARGE = 512, 4096


def prune(side, rule):
    torch.manual_seed(0)
    model = fully_shard(nn.Sequential(nn.Linear(side, side, bias=False)))
    schedule = {"kind": "one_shot", "final_sparsity": 0.5}
    secateur.prune(model, {"schedule": schedule, "rules": [{"match": {}, **rule}]})


def calls(rule):
    with torch.profiler.profile() as profile:
        prune(SMALL, rule)
    return [event.name for event in profile.events() if "gloo" in event.name]


def peak_in_shards(rule):
    tracemalloc.start()
    prune(LARGE, rule)
    peak = tracemalloc.get_traced_memory()[1]
    dist.barrier()  # gloo's threads are at rest: they must not meet stop()
    tracemalloc.stop()
    return peak / (LARGE * LARGE * 4 // dist.get_world_size())


def main(folder: Path) -> None:
    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    found = {
        name: {"calls": calls(rule), "peak": peak_in_shards(rule)}
        for name, rule in POLICIES.items()
    }
    (folder / f"{dist.get_rank()}.json").write_text(json.dumps(found))
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
