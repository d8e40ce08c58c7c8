"""Zeros hold through whatever a user of torch.nn.utils.prune does with the model."""

from __future__ import annotations

import copy
import gc
import io
import weakref

import pytest
import torch
import torch.nn.utils.prune as theirs
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from torch.utils.checkpoint import checkpoint

import secateur
import secateur_torch.compat.prune as prune
from secateur.errors import ModelError
from secateur_torch.compat.prune import held

DATA = [(torch.randn(8, 1, 8, 8), torch.randint(0, 3, (8,))) for _ in range(4)]


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(6 * 36, 10), nn.ReLU(), nn.Linear(10, 3)),
    )


def globally(net, amount=0.5):
    pairs = [(layer, "weight") for layer in (net[0], net[4], net[6])]
    prune.global_unstructured(pairs, prune.L1Unstructured, amount=amount)


def assert_zero(net):
    masked = 0
    for module in net.modules():
        for name, mask in module.named_buffers(recurse=False):
            if name.endswith("_mask"):
                masked += int((mask == 0).sum())
                assert not getattr(module, name.removesuffix("_mask"))[mask == 0].any(), name
    assert masked


def train(net, optimizer, call=None, data=DATA):
    for x, y in data:
        optimizer.zero_grad()
        functional.cross_entropy((call or net)(x), y).backward()
        optimizer.step()
        assert_zero(net)


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.AdamW, torch.optim.Rprop])
def test_through_an_optimizer_that_is_older_than_the_masks(make) -> None:
    net = network()
    options = {"momentum": 0.9, "weight_decay": 0.1} if make is torch.optim.SGD else {}
    optimizer = make(net.parameters(), 0.05, **options)
    for x, y in DATA:
        functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    for _ in range(2):
        globally(net)
        train(net, optimizer)
    assert sum(int(mask.sum()) for mask in net.buffers() if mask.ndim > 1) == 2244 // 4


def test_through_a_loop_without_an_optimizer_new_parameters_and_edits() -> None:
    layer = prune.l1_unstructured(nn.Linear(4, 4), "weight", 0.5)
    layer(torch.randn(2, 4)).sum().backward()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter -= 0.1 * (parameter.grad + parameter)
    assert_zero(layer)
    nn.init.ones_(layer.weight)
    layer(torch.randn(2, 4))
    assert_zero(layer)
    layer.weight = nn.Parameter(torch.ones(4, 4))
    layer(torch.randn(2, 4)).sum().backward()
    assert_zero(layer)
    assert not layer.weight.grad[layer.weight_mask == 0].any()
    assert layer.weight_orig is layer.weight
    layer.weight_mask[0] = 0
    layer.eval()(torch.randn(2, 4))
    assert not layer.weight[0].any()


def test_through_mixed_precision_and_an_average() -> None:
    net = network()
    globally(net)
    average, optimizer = AveragedModel(net), torch.optim.Adam(net.parameters(), fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    for x, y in DATA:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = functional.cross_entropy(net(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        average.update_parameters(net)
        assert_zero(net)
        assert_zero(average)


def test_through_a_deep_copy_a_file_and_a_compiled_model() -> None:
    net = network()
    globally(net)
    globally(net)
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    for other in (copy.deepcopy(net), loaded):
        train(other, torch.optim.SGD(other.parameters(), 0.1, momentum=0.9))
        prune.remove(other[4], "weight")
        assert vars(other[4]).keys() == vars(network()[4]).keys()
        assert not other[4]._load_state_dict_pre_hooks
    copied = copy.deepcopy(net)
    compiled = torch.compile(copied, backend="aot_eager", fullgraph=True)
    train(copied, torch.optim.SGD(copied.parameters(), 0.1, momentum=0.9), compiled)
    copied[4].weight.data.fill_(1.0)
    compiled(DATA[0][0])
    assert_zero(copied)
    exported = torch.export.export(net, (DATA[0][0],))
    assert not any("where" in str(n.target) or "mul" in str(n.target) for n in exported.graph.nodes)


def test_through_state_dicts_of_every_origin() -> None:
    net, start = network(), network().state_dict()
    globally(net)
    masks = {name: mask.clone() for name, mask in net.named_buffers() if name.endswith("_mask")}
    net.load_state_dict(start)  # rewinding to the plain weights of the beginning
    assert_zero(net)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other, original = network(), network()
    for index in (0, 4, 6):
        prune.identity(other[index], "weight")
        theirs.l1_unstructured(original[index], "weight", 0.5)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert all(torch.equal(dict(other.named_buffers())[name], masks[name]) for name in masks)
    assert_zero(other)
    other.load_state_dict(original.state_dict())  # a checkpoint of torch.nn.utils.prune itself
    assert torch.equal(other[4].weight_mask, original[4].weight_mask)
    assert torch.equal(other[4].weight, original[4].weight)
    other.load_state_dict(net.state_dict(), assign=True)
    train(other, torch.optim.SGD(other.parameters(), 0.1))
    assert set(network().state_dict()) | set(masks) == set(net.state_dict())


def test_through_layers_that_are_called_twice_and_second_derivatives() -> None:
    layer, other = nn.Linear(4, 4), nn.Linear(4, 4)
    prune.l1_unstructured(layer, "weight", 0.5)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9)
    loss = layer(torch.randn(2, 4)).sum() + layer(torch.randn(2, 4)).pow(2).sum()
    other(torch.randn(1, 4)).sum().backward()
    torch.optim.SGD(other.parameters(), 0.1).step()  # another optimizer, before the backward pass
    layer(torch.randn(1, 4))
    loss.backward()
    optimizer.step()
    checkpoint(layer, torch.randn(2, 4, requires_grad=True), use_reentrant=False).sum().backward()
    x = torch.randn(2, 4, requires_grad=True)
    (slope,) = torch.autograd.grad(layer(x).pow(2).sum(), x, create_graph=True)
    slope.pow(2).sum().backward()
    optimizer.step()
    assert_zero(layer)
    assert not layer.weight.grad[layer.weight_mask == 0].any()


def test_through_functional_calls() -> None:
    layer = prune.l1_unstructured(nn.Linear(4, 4), "weight", 0.5)
    given = {name: value.detach() + 1 for name, value in layer.named_parameters()}

    def loss(values, x):
        return torch.func.functional_call(layer, values, x).sum()

    slopes = torch.func.grad(loss)(given, torch.randn(2, 4))
    assert not slopes["weight"][layer.weight_mask == 0].any()
    both = {name: torch.stack([value, value + 1]) for name, value in given.items()}
    torch.vmap(loss, in_dims=(0, None))(both, torch.randn(2, 4))
    assert given["weight"].all()
    assert isinstance(layer.weight, nn.Parameter)
    assert not layer._forward_hooks


def test_through_transformers_recurrent_layers_and_tied_weights() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(7, 8)
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.lstm = nn.LSTM(8, 8, 2, bidirectional=True)
            self.mix = nn.Linear(16, 8)
            self.head = nn.Linear(8, 7, bias=False)
            self.head.weight = self.table.weight

        def forward(self, x):
            return self.head(self.mix(self.lstm(self.encoder(self.table(x)))[0]))

    net = Tied()
    for module in net.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.ndim == 2:
                prune.l1_unstructured(module, name, 0.5)
    optimizer = torch.optim.RMSprop(net.parameters(), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        functional.cross_entropy(net(torch.arange(7)[None])[0], torch.arange(7)).backward()
        optimizer.step()
        assert_zero(net)
    assert net.head.weight is net.table.weight
    assert net.lstm._flat_weights[0] is net.lstm.weight_ih_l0
    with torch.inference_mode():
        net.eval()(torch.arange(7)[None])


def test_of_replicas_as_of_data_parallel_and_of_layers_that_lost_the_parameter() -> None:
    net = network()
    globally(net)
    nn.DataParallel(net)(DATA[0][0])
    replica = net[4]._replicate_for_data_parallel()
    replica._parameters = {}
    replica.weight, replica.bias = net[4].weight.clone(), net[4].bias.clone()
    assert torch.equal(replica(torch.ones(1, 216)), net[4](torch.ones(1, 216)))


@pytest.mark.filterwarnings("ignore:(?s).*:DeprecationWarning", "ignore:.*observers:UserWarning")
def test_of_a_layer_that_quantization_replaces_by_one_without_the_mask() -> None:
    net = nn.Sequential(nn.Linear(4, 4))
    prune.l1_unstructured(net[0], "weight", 0.5)
    mask = net[0].weight_mask.clone()
    net.qconfig = torch.ao.quantization.get_default_qat_qconfig("x86")
    copied = torch.ao.quantization.prepare_qat(net.train())
    with pytest.raises(ModelError, match=r"prune\.remove"):
        copied(torch.randn(2, 4))
    prune.remove(net[0], "weight")
    copied = torch.ao.quantization.prepare_qat(net)
    prune.custom_from_mask(copied[0], "weight", mask)
    optimizer = torch.optim.SGD(copied.parameters(), 0.1)
    copied(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    assert_zero(copied)


def test_through_sparse_gradients_and_masks_that_inference_mode_made() -> None:
    table = nn.Embedding(10, 4, sparse=True)
    with torch.inference_mode():
        prune.l1_unstructured(table, "weight", 0.5)
    optimizer = torch.optim.SparseAdam(table.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        table(torch.tensor([1, 2, 2])).pow(2).sum().backward()
        assert table.weight.grad.is_sparse
        assert not table.weight.grad.to_dense()[table.weight_mask == 0].any()
        optimizer.step()
        assert_zero(table)
    table.load_state_dict(table.state_dict())


def test_beside_layers_that_torch_itself_has_pruned() -> None:
    layer = prune.l1_unstructured(nn.Linear(4, 4), "weight", 0.5)
    with pytest.raises(KeyError, match="weight_orig"):
        theirs.l1_unstructured(layer, "weight", 0.5)
    assert_zero(layer)
    original = theirs.l1_unstructured(nn.Linear(4, 4), "weight", 0.5)
    with pytest.raises(TypeError, match=r"masked by torch\.nn\.utils\.prune"):
        prune.l1_unstructured(original, "weight", 0.5)
    assert theirs.is_pruned(original)
    assert not prune.is_pruned(original)


def test_a_frozen_parameter_and_one_that_is_thawed() -> None:
    layer = nn.Linear(4, 4)
    layer.weight.requires_grad_(False)
    prune.l1_unstructured(layer, "weight", 0.5)
    layer(torch.randn(1, 4))
    layer.weight.requires_grad_(True)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    layer(torch.randn(1, 4)).sum().backward()
    assert not layer.weight.grad[layer.weight_mask == 0].any()
    optimizer.step()
    assert_zero(layer)


def test_a_policy_goes_on_where_the_calls_have_been() -> None:
    net = network()
    globally(net)
    before = {name: mask.clone() for name, mask in net.named_buffers() if name.endswith("_mask")}
    for layer in (net[0], net[4], net[6]):
        prune.remove(layer, "weight")
    optimizer = torch.optim.Adam(net.parameters())
    schedule = {"kind": "constant", "final_sparsity": 0.8}
    pruner = secateur.attach(net, {"schedule": schedule}, optimizer=optimizer)
    assert pruner.report().sparsity > 0.79
    assert not net[4].weight[before["4.weight_mask"] == 0].any()


def test_nothing_is_left_after_remove_by_call_or_by_hand_or_by_the_collector() -> None:
    gc.collect()
    count = len(held._held)
    layer = prune.l1_unstructured(nn.Linear(4, 4), "weight", 0.5)
    prune.remove(layer, "weight")
    assert vars(layer).keys() == vars(nn.Linear(4, 4)).keys()
    assert not layer.weight._backward_hooks
    prune.l1_unstructured(layer, "weight", 0.75)
    layer.weight = layer.weight_orig
    del layer.weight_orig, layer.weight_mask
    layer._forward_pre_hooks.clear()
    layer.load_state_dict(layer.state_dict())
    assert list(layer.state_dict()) == ["weight", "bias"]
    net = network()
    globally(net)
    net(DATA[0][0]).sum().backward()
    alive = weakref.ref(net)
    del net, layer
    gc.collect()
    assert alive() is None
    assert len(held._held) == count
