"""One rank: prune a sharded network by many policies; compare with the whole network.

Arguments: how to shard it.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
import torch.distributed as dist
from leaving import leave
from sharded_networks import POLICIES, WAYS, network
from torch.distributed.tensor import DTensor

import secateur


def main(way: str) -> None:
    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    for name, rule in POLICIES.items():
        policy = {
            "schedule": {"kind": "one_shot", "final_sparsity": 0.5},
            "rules": [{"match": {}} | rule],
        }
        whole, sharded = network(), WAYS[way](network(), dist.get_world_size())
        expected = secateur.prune(whole, policy)
        report = secateur.prune(sharded, policy)
        for (key, value), parameter in zip(
            whole.named_parameters(), sharded.parameters(), strict=True
        ):
            found = parameter.detach()
            found = found.full_tensor() if isinstance(found, DTensor) else found
            np.testing.assert_array_equal(found.numpy(), value.detach().numpy(), f"{name}: {key}")
        assert report.to_dict()["weights"] == expected.to_dict()["weights"], name
    assert any(isinstance(parameter, DTensor) for parameter in sharded.parameters())
    leave()


if __name__ == "__main__":
    main(sys.argv[1])
