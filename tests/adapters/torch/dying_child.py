"""One rank of a sharded run in which the last rank is killed before the masks are due."""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta

import torch
import torch.distributed as dist
from fsdp_child import POLICY
from sharded_networks import fsdp, network

import secateur


def main() -> None:
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    pruner = secateur.attach(fsdp(network(), dist.get_world_size()), POLICY | {"rules": []})
    dist.barrier()
    if dist.get_rank() == dist.get_world_size() - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        pruner.step(2)
    except RuntimeError as error:
        print(f"rank {dist.get_rank()} has an error: {error}", file=sys.stderr, flush=True)
        raise


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
