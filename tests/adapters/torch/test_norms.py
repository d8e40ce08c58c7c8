"""weight_norm and spectral_norm: the weight that the layer uses is pruned, and never 0 / 0."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

import secateur
from secateur.errors import ModelError

HALF = {"schedule": {"kind": "constant", "final_sparsity": 0.5}}
CHANNELS = {**HALF, "rules": [{"match": {}, "pattern": {"kind": "channel", "axis": "out"}}]}
LAYERS = {
    "dense": lambda: weight_norm(nn.Linear(6, 4)),
    "dense, norm of columns": lambda: weight_norm(nn.Linear(6, 4), dim=1),
    "dense, one norm": lambda: weight_norm(nn.Linear(6, 4), dim=None),
    "depthwise": lambda: weight_norm(nn.Conv1d(6, 6, 2, groups=6)),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("sparsity", [0.5, 0.9, 1.0])
def test_slices_that_are_pruned_whole_are_zero_and_stay_so_in_training(make, sparsity):
    torch.manual_seed(0)
    layer = make()
    optimizer = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9)
    policy = {"schedule": {"kind": "constant", "final_sparsity": sparsity}}
    pruner = secateur.attach(layer, policy, optimizer=optimizer)
    (mask,) = pruner.masks.values()
    kept = torch.from_numpy(mask.copy())
    for _ in range(3):
        inputs = torch.randn(3, 6, 5) if isinstance(layer, nn.Conv1d) else torch.randn(3, 6)
        optimizer.zero_grad()
        layer(inputs).square().sum().backward()
        optimizer.step()
        weight = layer.weight.detach()
        assert torch.isfinite(weight).all()
        assert not weight[~kept].any()
        assert weight[kept].all()
    assert not pruner.report().notes


def test_whole_channels_of_a_weight_normed_layer_can_be_pruned():
    layer = weight_norm(nn.Linear(6, 4))
    report = secateur.prune(layer, CHANNELS)
    assert report.sparsity == 0.5
    assert int((layer.weight == 0).all(1).sum()) == 2
    assert torch.isfinite(layer(torch.ones(1, 6))).all()


def test_spectral_norm_is_ranked_by_the_weight_that_the_layer_uses():
    torch.manual_seed(0)
    model = nn.Sequential(spectral_norm(nn.Linear(8, 8, bias=False)), nn.Linear(8, 8, bias=False))
    with torch.no_grad():
        model[0].parametrizations.weight.original.mul_(100)
    model.eval()
    arrays = {f"{n}:kernel": model[n].weight.detach().numpy().copy() for n in (0, 1)}
    rules = [{"match": {}, "distribution": "global"}]
    policy = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}, "rules": rules}
    masks = secateur.prune(model, policy).masks
    for name, mask in secateur.prune(arrays, policy).masks.items():
        np.testing.assert_array_equal(masks[name], mask)


def test_a_spectral_normed_weight_is_not_pruned_whole():
    model = nn.Sequential(nn.Linear(3, 3), spectral_norm(nn.Linear(3, 3)))
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(ModelError, match=r"Linear\.weight is divided by its spectral norm"):
        secateur.prune(model, {"schedule": {"kind": "one_shot", "final_sparsity": 1.0}})
    for parameter, value in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, value)


def test_names_do_not_change_with_a_parametrization():
    plan = secateur.plan(weight_norm(nn.LSTM(3, 4), "weight_hh_l0"), HALF)
    assert [weight.spec.name for weight in plan.weights] == ["LSTM:kernel", "LSTM:recurrent"]
