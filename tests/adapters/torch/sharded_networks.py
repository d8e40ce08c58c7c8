"""The network of the sharded runs, and three ways to shard it."""

from __future__ import annotations

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)

POLICIES = {
    "unstructured, global": {"distribution": "global"},
    "unstructured, lamp": {"distribution": "lamp"},
    "unstructured, erk": {"distribution": "erk"},
    "blocks, uniform": {"pattern": {"kind": "block", "out": 4, "in": 3}},
    "blocks, global": {"pattern": {"kind": "block", "out": 4, "in": 1}, "distribution": "global"},
    "2:4": {"pattern": {"kind": "n_m", "keep": 2, "of": 4}},
    "channels out": {"pattern": {"kind": "channel", "axis": "out"}},
    "channels in, lamp": {
        "pattern": {"kind": "channel", "axis": "in"},
        "distribution": "lamp",
    },
    "threshold": {"distribution": {"kind": "threshold", "deviations": 0.7}},
}


class Network(nn.Module):
    """Layers of every layout, of sizes that divide by nothing."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 7, 3, padding=1)
        self.up = nn.ConvTranspose2d(7, 6, 3)
        self.rnn = nn.LSTM(6, 5, batch_first=True)
        self.attn = nn.MultiheadAttention(6, 2, batch_first=True)
        self.into = nn.Linear(6, 26)
        self.out = nn.Linear(26, 5)

    def forward(self, images):
        features = torch.relu(self.up(torch.relu(self.conv(images))))
        tokens = features.flatten(2).transpose(1, 2)
        tokens = self.attn(tokens, tokens, tokens, need_weights=False)[0]
        recurrent = self.rnn(tokens)[0].mean(1)
        return self.out(torch.relu(self.into(tokens.mean(1)))) + recurrent


def network():
    torch.manual_seed(0)
    return Network()


def fsdp(model, ranks):
    for layer in model.children():
        fully_shard(layer)
    return fully_shard(model)


def tensor_parallel(model, ranks):
    mesh = init_device_mesh("cpu", (ranks,))
    plan = {"into": ColwiseParallel(), "out": RowwiseParallel()}
    return parallelize_module(model, mesh, plan)


def both(model, ranks):
    """Shard by 2 ranks of tensor parallel, and the rest of them by FSDP."""
    mesh = init_device_mesh("cpu", (ranks // 2, 2), mesh_dim_names=("data", "tensor"))
    plan = {"into": ColwiseParallel(), "out": RowwiseParallel()}
    model = parallelize_module(model, mesh["tensor"], plan)
    for layer in (model.into, model.out):
        fully_shard(layer, mesh=mesh["data"])
    return model


def hybrid(model, ranks):
    """Replicate over 2 groups of ranks, shard inside each."""
    mesh = init_device_mesh("cpu", (2, ranks // 2), mesh_dim_names=("copies", "shards"))
    for layer in model.children():
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


WAYS = {"fsdp": fsdp, "tensor": tensor_parallel, "both": both, "hybrid": hybrid}
