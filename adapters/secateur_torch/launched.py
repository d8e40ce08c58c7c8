"""The processes that torchrun, or whatever sets the same variables, started together."""

from __future__ import annotations

import atexit
from datetime import timedelta

import torch
import torch.distributed as dist

from secateur.adapter import Workers
from secateur_torch.sharded import ProcessWorkers

TIMEOUT = timedelta(minutes=30)
"""How long a process waits for one that neither answers nor ends."""


def process_group() -> Workers:
    """Return all processes of the run, joined by gloo unless they are joined already."""
    if not dist.is_initialized():
        dist.init_process_group("gloo", timeout=TIMEOUT)
        atexit.register(dist.destroy_process_group)
    return ProcessWorkers(torch.device("cpu"))
