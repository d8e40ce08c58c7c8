"""A plain model needs no private name of torch, and no code for shards."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.distributed.tensor import Replicate, Shard

from secateur_torch.sharded import local_positions

GONE = {
    "the helper of DTensor": (
        "import torch._dynamo, torch.distributed.fsdp, torch.distributed.tensor\n"
        "del torch.distributed.tensor._utils.compute_local_shape_and_global_offset\n"
    ),
    "the bases of layers": (
        "import torch.nn.modules as m\n"
        "del m.conv._ConvNd, m.conv._ConvTransposeNd, m.batchnorm._NormBase\n"
    ),
    "the classes of norms": (
        "import torch.nn.utils.parametrizations as p\ndel p._WeightNorm, p._SpectralNorm\n"
    ),
    "what knows wrapped tensors": (
        "import torch._subclasses as s, torch.utils._python_dispatch as d\n"
        "del s.FakeTensor, d.is_traceable_wrapper_subclass\n"
    ),
}
USE = (
    "import torch, torch._dynamo, secateur, sys\n"
    "from torch import nn\n"
    "{gone}"
    "policy = {{'schedule': {{'kind': 'constant', 'final_sparsity': 0.5}}}}\n"
    "secateur.prune(nn.Linear(4, 4), policy)\n"
    "model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 2, 3))\n"
    "optimizer = torch.optim.SGD(model.parameters(), 0.1)\n"
    "pruner = secateur.attach(model, policy, optimizer=optimizer)\n"
    "model(torch.ones(2, 2, 6, 6)).sum().backward()\n"
    "optimizer.step()\n"
    "assert pruner.report().sparsity == 0.5 and pruner.current_step == 1\n"
    "assert 'secateur_torch.sharded' not in sys.modules\n"
)


@pytest.mark.parametrize("gone", GONE)
def test_a_plain_model_is_pruned_without(gone):
    program = USE.format(gone=GONE[gone])
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def strided(dim, factor):
    """Return the placement of FSDP above tensor parallelism, where torch has it."""
    types = pytest.importorskip("torch.distributed.tensor.placement_types")
    return types._StridedShard(dim, split_factor=factor)


PLACEMENTS = {
    "one axis": ((3,), [Shard(0)]),
    "the other axis": ((3,), [Shard(1)]),
    "copies": ((2, 2), [Replicate(), Shard(0)]),
    "two axes of the tensor": ((2, 3), [Shard(1), Shard(0)]),
    "one axis twice": ((2, 3), [Shard(0), Shard(0)]),
    "one axis thrice": ((2, 2, 2), [Shard(1), Shard(0), Shard(1)]),
    "more processes than rows": ((8,), [Shard(0)]),
    "below tensor parallelism": ((2, 3), [strided(0, 3), Shard(0)]),
}


@pytest.mark.parametrize("case", PLACEMENTS)
@pytest.mark.parametrize("shape", [(6, 4), (7, 5, 3), (12, 12), (1, 9)])
def test_positions_of_shards_are_those_of_torch(case, shape):
    mesh_shape, placements = PLACEMENTS[case]
    utils = pytest.importorskip("torch.distributed.tensor._utils")
    theirs = getattr(utils, "_compute_local_shape_and_global_offset", None)
    if theirs is None:
        pytest.skip("this torch has no helper to compare with")
    whole = np.zeros(shape, int)
    for coordinate in np.ndindex(mesh_shape):
        local, offset = theirs(torch.Size(shape), mesh_shape, list(coordinate), placements)
        ours = local_positions(shape, mesh_shape, coordinate, placements)
        assert tuple(map(len, ours)) == tuple(local)
        if all(local):
            assert tuple(int(axis[0]) for axis in ours) == tuple(offset)
        whole[np.ix_(*ours)] += 1
    copies = [n for n, p in zip(mesh_shape, placements, strict=True) if isinstance(p, Replicate)]
    assert (whole == np.prod(copies, dtype=int)).all()
