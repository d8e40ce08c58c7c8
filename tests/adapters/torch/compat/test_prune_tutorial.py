"""The steps of PyTorch's pruning tutorial, with only the import changed."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

import secateur_torch.compat.prune as prune


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 4 * 4, 120)
        self.fc2 = nn.Linear(120, 10)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        return self.fc2(functional.relu(self.fc1(x.flatten(1))))


def share_of_zeros(tensor) -> float:
    return float((tensor == 0).sum()) / tensor.numel()


def test_one_layer_from_inspection_to_removal() -> None:
    torch.manual_seed(0)
    model = LeNet()
    module = model.conv1
    assert [name for name, _ in module.named_parameters()] == ["weight", "bias"]
    assert list(module.named_buffers()) == []

    prune.random_unstructured(module, name="weight", amount=0.3)
    assert [name for name, _ in module.named_parameters()] == ["weight", "bias"]
    assert [name for name, _ in module.named_buffers()] == ["weight_mask"]
    assert torch.equal(module.weight, module.weight * module.weight_mask)
    assert [hook._tensor_name for hook in module._forward_pre_hooks.values()] == ["weight"]

    prune.l1_unstructured(module, name="bias", amount=3)
    assert sorted(name for name, _ in module.named_buffers()) == ["bias_mask", "weight_mask"]
    assert int((module.bias == 0).sum()) == 3
    assert len(module._forward_pre_hooks) == 2

    before = module.weight_mask.clone()
    prune.ln_structured(module, name="weight", amount=0.5, n=2, dim=0)
    dead = (module.weight == 0).flatten(1).all(1)
    assert int(dead.sum()) == 3
    assert not module.weight_mask[before == 0].any()
    container = next(h for h in module._forward_pre_hooks.values() if h._tensor_name == "weight")
    assert [type(method).__name__ for method in container] == ["RandomUnstructured", "LnStructured"]

    assert {"conv1.weight", "conv1.weight_mask", "conv1.bias_mask"} <= set(model.state_dict())
    model(torch.rand(1, 1, 28, 28))
    prune.remove(module, "weight")
    prune.remove(module, "bias")
    assert list(module.state_dict()) == ["weight", "bias"]
    assert not module._forward_pre_hooks
    assert share_of_zeros(module.weight) >= 0.5


def test_many_layers_by_their_class() -> None:
    model = LeNet()
    for _, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            prune.l1_unstructured(module, name="weight", amount=0.2)
        elif isinstance(module, nn.Linear):
            prune.l1_unstructured(module, name="weight", amount=0.4)
    assert set(dict(model.named_buffers())) == {
        *("conv1.weight_mask", "conv2.weight_mask", "fc1.weight_mask", "fc2.weight_mask")
    }
    assert abs(share_of_zeros(model.conv2.weight) - 0.2) < 1e-3
    assert abs(share_of_zeros(model.fc1.weight) - 0.4) < 1e-4


def test_globally_over_four_layers() -> None:
    model = LeNet()
    pairs = tuple((layer, "weight") for layer in (model.conv1, model.conv2, model.fc1, model.fc2))
    prune.global_unstructured(pairs, pruning_method=prune.L1Unstructured, amount=0.2)
    zeros = sum(int((layer.weight == 0).sum()) for layer, _ in pairs)
    assert zeros == round(0.2 * sum(layer.weight.numel() for layer, _ in pairs))


class EveryOtherMethod(prune.BasePruningMethod):
    """Prunes every other entry of those that are left."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t, default_mask):
        mask = default_mask.clone()
        mask.view(-1)[::2] = 0
        return mask


def every_other_unstructured(module, name):
    EveryOtherMethod.apply(module, name)
    return module


def test_a_method_of_ones_own() -> None:
    model = LeNet()
    every_other_unstructured(model.fc2, name="bias")
    assert model.fc2.bias_mask.tolist() == [0.0, 1.0] * 5
    every_other_unstructured(model.fc2, name="bias")
    assert int(model.fc2.bias_mask.sum()) == 2
