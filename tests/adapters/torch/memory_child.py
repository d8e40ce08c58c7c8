"""One rank: what pruning large sharded weights takes, and saving and loading the state after it.

Arguments: the folder for what was found, and the names of policies or of layers.
"""

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
SHAPES = {
    "long channels": (lambda: nn.Linear(1 << 20, 8, bias=False), "channels out"),
    "tall embedding": (lambda: nn.Embedding(1 << 19, 16), "channels in, lamp"),
    "equal weights": (lambda: filled(0), "unstructured, lamp"),
    "few values": (lambda: filled(3), "unstructured, lamp"),
    "bfloat16": (lambda: square(LARGE).to(torch.bfloat16), "unstructured, lamp"),
}
"""Layers that are hard in some way, and the policy that finds them so."""


def square(side):
    return nn.Linear(side, side, bias=False)


def filled(levels):
    """Return a layer of 2 * levels + 1 values."""
    layer = square(LARGE)
    with torch.no_grad():
        layer.weight.copy_((layer.weight * LARGE**0.5 * levels).round() + (not levels))
    return layer


def shard_of(layer):
    torch.manual_seed(0)
    return fully_shard(nn.Sequential(layer()))


def attach(model, rule):
    schedule = {"kind": "one_shot", "final_sparsity": 0.5}
    return secateur.attach(model, {"schedule": schedule, "rules": [{"match": {}, **rule}]})


def calls(rule):
    with torch.profiler.profile() as profile:
        attach(shard_of(lambda: square(SMALL)), rule)
    return [event.name for event in profile.events() if "gloo" in event.name]


def peak_in_shards(model, work):
    """Return the most memory that ``work()`` takes, where a shard has 4 bytes an element."""
    dist.barrier()
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    dist.barrier()  # gloo's threads are at rest: they must not meet stop()
    tracemalloc.stop()
    return peak / (4 * sum(part.to_local().numel() for part in model.parameters()))


def pruning(layer, rule):
    model = shard_of(layer)
    return peak_in_shards(model, lambda: attach(model, rule))


def saving(folder):
    model = shard_of(lambda: square(LARGE))
    pruner = attach(model, {})
    state = folder / "state.npz"
    work = {"state_dict": pruner.state_dict, "save": lambda: pruner.save(state)}
    peaks = {name: peak_in_shards(model, each) for name, each in work.items()}
    arrays = pruner.state_dict()
    return peaks | {
        "load": peak_in_shards(model, lambda: pruner.load(state)),
        "load_state_dict": peak_in_shards(model, lambda: pruner.load_state_dict(arrays)),
    }


def peak(name):
    layer, policy = SHAPES.get(name, (lambda: square(LARGE), name))
    return pruning(layer, POLICIES[policy])


def main(folder: Path, names: list[str]) -> None:
    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    peaks = {name: peak(name) for name in names}
    found = {
        "calls": {name: calls(rule) for name, rule in POLICIES.items()},
        "pruning": peaks,
        "state": saving(folder),
    }
    (folder / f"{dist.get_rank()}.json").write_text(json.dumps(found))
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
