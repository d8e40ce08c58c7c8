"""One rank: the peak memory of pruning a large sharded matrix, and what it sends."""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path

import torch
import torch.distributed as dist
from leaving import leave
from torch import nn
from torch.distributed.fsdp import fully_shard

import secateur

SIDE = 2048


def main(folder: Path) -> None:
    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    model = fully_shard(nn.Sequential(nn.Linear(SIDE, SIDE, bias=False)))
    shard = SIDE * SIDE * 4 // dist.get_world_size()
    policy = {
        "schedule": {"kind": "one_shot", "final_sparsity": 0.5},
        "rules": [{"match": {}, "distribution": "global"}],
    }
    secateur.plan(model, policy)  # everything is imported now
    tracemalloc.start()
    with torch.profiler.profile() as profile:
        secateur.prune(model, policy)
    peak = tracemalloc.get_traced_memory()[1]
    calls = [event.name for event in profile.events() if "gloo" in event.name]
    found = {"peak in shards": peak / shard, "calls": sorted(set(calls)), "count": len(calls)}
    (folder / f"{dist.get_rank()}.json").write_text(json.dumps(found))
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
