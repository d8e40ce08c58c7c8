"""The adapter as a plugin: light, exact about whose models are its own, and teachable."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import secateur
from secateur.adapter import LayerWeight
from secateur.errors import ModelError, WeightError
from secateur.hooks.registry import registry
from secateur.layout import DENSE_IN_OUT
from secateur_torch.binding import bind
from secateur_torch.plugin import TorchAdapter

ONE_SHOT = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}


def test_loading_the_plugin_imports_no_torch():
    program = (
        "import sys, secateur, secateur_torch.plugin as plugin\n"
        "assert not plugin.TorchAdapter().matches(object())\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
def test_a_keras_model_on_the_torch_backend_is_left_to_the_keras_adapter():
    program = (
        "import torch, keras\n"
        "from secateur_torch.plugin import TorchAdapter\n"
        "model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])\n"
        "assert isinstance(model, torch.nn.Module)\n"
        "assert not TorchAdapter().matches(model)\n"
        "assert not TorchAdapter().matches(model.layers[0])\n"
        "assert TorchAdapter().matches(torch.nn.Linear(2, 2))\n"
    )
    environment = {"KERAS_BACKEND": "torch", "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


class Factors(nn.Module):
    """A layer of a user's own: two matrices, one of them stored (in, out)."""

    def __init__(self):
        super().__init__()
        self.down = nn.Parameter(torch.randn(3, 8))
        self.up = nn.Parameter(torch.randn(3, 5))


class Bindings:
    """Teaches Factors, and nothing else."""

    @secateur.hookimpl
    def secateur_layer_weights(self, adapter, layer):
        if adapter == "torch" and isinstance(layer, Factors):
            up = LayerWeight("up", "dense", "output", DENSE_IN_OUT)
            return [LayerWeight("down", "dense"), up]
        return None


@pytest.fixture
def taught():
    plugin = Bindings()
    secateur.register(plugin, "factors")
    yield
    registry().manager.unregister(plugin)


def test_a_plugin_teaches_a_custom_layer(taught):
    model = nn.ModuleDict({"low_rank": Factors(), "fc": nn.Linear(4, 4)})
    weights = {weight.spec.name: weight for weight in bind(model).weights}
    assert list(weights) == ["low_rank:kernel", "low_rank:output", "fc:kernel"]
    np.testing.assert_array_equal(
        weights["low_rank:output"].read(), model["low_rank"].up.detach().numpy().T
    )
    secateur.prune(model, ONE_SHOT)
    assert (model["low_rank"].up == 0).sum() == 7  # of 15, rounded half to even


def test_an_untaught_layer_is_left_dense_and_listed():
    model = nn.ModuleDict({"low_rank": Factors(), "fc": nn.Linear(4, 4)})
    text = " ".join(str(secateur.plan(model, ONE_SHOT)).split())
    assert "low_rank: Factors: the torch adapter does not know this layer" in text
    assert "it holds down, up" in text


def test_a_model_with_nothing_to_prune_is_refused():
    with pytest.raises(ModelError, match=r"no weight that can be pruned.*BatchNorm1d"):
        secateur.prune(nn.Sequential(nn.BatchNorm1d(3), nn.ReLU()), ONE_SHOT)


def test_a_nan_is_refused_by_name_and_place_and_nothing_changes():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    with torch.no_grad():
        model[1].weight[2, 0] = float("nan")
    before = [parameter.clone() for parameter in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for act in (secateur.prune, lambda *a: secateur.attach(*a, optimizer=optimizer)):
        with pytest.raises(WeightError, match=r"1:kernel: the value at \(2, 0\)"):
            act(model, ONE_SHOT)
    for old, new in zip(before, model.parameters(), strict=True):
        assert torch.equal(old.nan_to_num(), new.detach().nan_to_num())
    assert not optimizer._optimizer_step_post_hooks


def test_the_gradient_is_offered_in_canonical_layout():
    module = nn.ConvTranspose2d(2, 3, 2)
    (weight,) = bind(module).weights
    assert weight.gradient() is None
    module(torch.randn(1, 2, 4, 4)).square().sum().backward()
    expected = module.weight.grad.numpy().transpose(1, 0, 2, 3)
    np.testing.assert_array_equal(weight.gradient(), expected)


def test_every_dtype_of_one_policy_gives_the_counts_of_the_plan():
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        model = nn.Linear(10, 11, dtype=dtype)
        report = secateur.prune(model, ONE_SHOT)
        assert report.kept == int(model.weight.count_nonzero()) == 55


def test_adapter_is_registered_once():
    assert [a.name for a in registry().adapters()].count(TorchAdapter.name) == 1
