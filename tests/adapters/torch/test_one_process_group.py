"""DTensors in a group of one process: what can be seen without any others."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import Replicate
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

import secateur
from secateur.errors import ModelError
from secateur_torch.binding import bind

ONE_SHOT = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}


@pytest.fixture(autouse=True)
def group(tmp_path):
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("norm", [weight_norm, spectral_norm])
def test_a_norm_over_shards_is_skipped_with_the_reason(norm):
    model = fully_shard(nn.Sequential(norm(nn.Linear(3, 3)), nn.Linear(3, 3)))
    binding = bind(model)
    assert [weight.spec.name for weight in binding.weights] == ["1:kernel"]
    assert f"{norm.__name__} from shards" in binding.skipped[0].reason
    assert secateur.prune(model, ONE_SHOT).sparsity == pytest.approx(5 / 9)


def test_a_gradient_that_is_sharded_otherwise_is_refused():
    model = fully_shard(nn.Sequential(nn.Linear(4, 4, bias=False)))
    (weight,) = bind(model).weights
    parameter = model[0].weight
    parameter.grad = torch.ones_like(parameter)
    np.testing.assert_array_equal(weight.gradient(), np.ones(16, np.float32))
    parameter.grad = parameter.grad.redistribute(placements=[Replicate()])
    with pytest.raises(ModelError, match=r"gradient of 0:kernel is not sharded as it is"):
        weight.gradient()


def test_a_model_that_is_unsharded_meanwhile_is_refused():
    model = fully_shard(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)))
    pruner = secateur.attach(model, ONE_SHOT)
    pruner.step()
    model[0].weight = nn.Parameter(torch.ones(2, 3))
    with pytest.raises(ModelError, match=r"0:kernel is not sharded as it was .*attach again"):
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


def test_weights_that_an_evaluation_left_whole_are_sharded_again_and_pruned():
    model = fully_shard(nn.Sequential(nn.Linear(4, 4, bias=False)))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def evaluate():
        with torch.no_grad():
            model(torch.ones(1, 4))
        assert not hasattr(model[0].weight, "device_mesh")

    def zeros():
        return int((model[0].weight.to_local() == 0).sum())

    evaluate()
    assert secateur.prune(model, ONE_SHOT).sparsity == 0.5
    assert zeros() == 8
    pruner = secateur.attach(model, {"schedule": {"kind": "constant", "final_sparsity": 0.75}})
    for act in (pruner.step, pruner.state_dict, pruner.report):
        evaluate()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the optimizer was not given to attach()
            act()
        model(torch.ones(1, 4)).sum().backward()
        optimizer.step()
    pruner.step()
    assert zeros() == 12


@pytest.mark.filterwarnings("ignore:FSDP is switching to use `NO_SHARD`")
def test_fsdp1_is_refused():
    wrapped = FullyShardedDataParallel(nn.Linear(4, 4), device_id=torch.device("cpu"))
    for model in (wrapped, nn.Sequential(wrapped)):
        with pytest.raises(ModelError, match=r"FSDP1.*fully_shard"):
            secateur.prune(model, ONE_SHOT)


def test_sharding_changes_no_name():
    assert [w.spec.name for w in bind(fully_shard(nn.Linear(4, 4))).weights] == ["Linear:kernel"]


def test_sharding_after_attach_is_refused():
    model = nn.Sequential(nn.Linear(4, 4))
    pruner = secateur.attach(model, {"schedule": {"kind": "constant", "final_sparsity": 0.5}})
    fully_shard(model)
    with pytest.raises(ModelError, match="sharded after the pruner was attached"):
        pruner.step()


def test_masks_are_transferred_to_a_sharded_model():
    model = fully_shard(nn.Sequential(nn.Linear(2, 2, bias=False)))
    mask = np.array([[True, False], [False, True]])
    secateur.transfer({"0:kernel": mask}, model)
    np.testing.assert_array_equal(model[0].weight.to_local().detach().numpy() != 0, mask)


def test_an_error_of_another_process_is_told_as_such(monkeypatch):
    def fail(*_args):
        raise RuntimeError("Connection closed by peer")

    model = fully_shard(nn.Sequential(nn.Linear(4, 4)))
    monkeypatch.setattr(dist, "all_reduce", fail)
    with pytest.raises(secateur.WorkerError, match=r"another process .* Connection closed"):
        secateur.prune(model, ONE_SHOT)
