"""DTensors in a group of one process: what can be seen without any others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.utils.parametrizations import weight_norm

import secateur
from secateur.errors import ModelError
from secateur_torch.bind import bind

ONE_SHOT = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}


@pytest.fixture(autouse=True)
def group(tmp_path):
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_weight_norm_over_shards_is_skipped_with_the_reason():
    model = fully_shard(nn.Sequential(weight_norm(nn.Linear(3, 3)), nn.Linear(3, 3)))
    binding = bind(model)
    assert [weight.spec.name for weight in binding.weights] == ["1:kernel"]
    assert "weight_norm from shards" in binding.skipped[0].reason


def test_a_model_that_is_unsharded_meanwhile_is_refused():
    model = fully_shard(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)))
    pruner = secateur.attach(model, ONE_SHOT)
    pruner.step()
    model[0].weight = nn.Parameter(torch.ones(2, 3))
    with pytest.raises(ModelError, match=r"0:kernel was sharded .*reshard"):
        pruner.step()


def test_an_included_average_of_shards_is_masked():
    model = fully_shard(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))
    average = fully_shard(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))
    pruner = secateur.attach(model, {"schedule": {"kind": "constant", "final_sparsity": 0.5}})
    pruner.include(average)
    for number in (0, 1):
        mask = pruner.masks[f"{number}:kernel"].reshape(4, 4)
        values = average[number].weight.full_tensor().detach().numpy()
        np.testing.assert_array_equal(values != 0, mask)
