"""Models that are changed after attach: it is told by name, and the pruner can let go."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import secateur
from secateur.adapter import ATTACH_AGAIN
from secateur.errors import ModelError
from tests.adapters.torch.foreign_tensors import Int8

HALF = {"schedule": {"kind": "constant", "final_sparsity": 0.5}}
EACH_STEP = {
    "schedule": {
        "kind": "linear",
        "initial_sparsity": 0.2,
        "final_sparsity": 0.5,
        "begin_step": 0,
        "end_step": 20,
        "frequency": 1,
    }
}
LATE = {"schedule": {"kind": "constant", "final_sparsity": 0.5, "begin_step": 3}}


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(7, 6)
        self.body = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
        self.head = nn.Linear(6, 7, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens):
        return self.head(self.body(self.tokens(tokens)))


class Shift(nn.Module):
    def forward(self, weight):
        return weight + 1


def replace_layer(m):
    m.body[2] = nn.Linear(6, 6)


def replace_by_other_kind(m):
    m.body[2] = nn.Identity()


def remove_layer(m):
    del m.body[2]


def replace_block(m):
    m.body = nn.Sequential(nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 6))


def resize(m):
    m.body[2].weight = nn.Parameter(torch.randn(9, 6))


def one_row_to_more(m):
    m.body[2].weight = nn.Parameter(torch.randn(1, 6))


def resize_in_place(m):
    m.body[2].weight.data = torch.randn(6, 4)


def transpose(m):
    m.tokens.weight.data = torch.randn(6, 7)


def resize_embeddings(m):
    """As transformers' resize_token_embeddings."""
    m.tokens = nn.Embedding(11, 6)
    m.head = nn.Linear(6, 11, bias=False)
    m.head.weight = m.tokens.weight


def resize_embeddings_in_place(m):
    m.tokens.weight = m.head.weight = nn.Parameter(torch.randn(11, 6))


def untie(m):
    m.head.weight = nn.Parameter(m.tokens.weight.detach().clone())


def tie(m):
    m.body[2].weight = m.body[0].weight


def to_meta(m):
    m.body[2].to("meta")


def quantize(m):
    m.body[2].weight = nn.Parameter(Int8(torch.ones(6, 6, dtype=torch.int8)))


def quantize_layer(m):
    m.body[2] = nn.Module()
    m.body[2].__class__ = type("Linear", (nn.Module,), {"__module__": "torch.ao.nn.quantized"})


def to_integers(m):
    m.body[2].weight = nn.Parameter(torch.ones(6, 6, dtype=torch.int8), requires_grad=False)


def make_sparse(m):
    m.body[2].weight = nn.Parameter(torch.eye(6).to_sparse())


def norm_weight(m):
    parametrizations.weight_norm(m.body[2])


def parametrize_weight(m):
    parametrize.register_parametrization(m.body[2], "weight", Shift())


def prune_by_torch(m):
    prune.l1_unstructured(m.body[2], "weight", 0.5)


def delete_weight(m):
    m.body[2].weight = None


def make_property(m):
    del m.body[2].weight
    m.body[2].weight = torch.ones(6, 6)


def move_layer(m):
    m.body.add_module("moved", m.body[2])
    m.body[2] = nn.Linear(6, 6)


TOLD = {
    # what is done: the weights that the notes name, and whether the next update is an error
    replace_layer: ("body.2:kernel", False),
    replace_by_other_kind: ("body.2:kernel", False),
    move_layer: ("body.2:kernel", False),
    remove_layer: ("body.2:kernel", False),
    replace_block: ("body.0:kernel", False),
    resize: ("body.2:kernel", True),
    one_row_to_more: ("body.2:kernel", True),
    resize_in_place: ("body.2:kernel", True),
    transpose: ("tokens:embedding", True),
    resize_embeddings: ("tokens:embedding", False),
    resize_embeddings_in_place: ("tokens:embedding", True),
    untie: ("head:kernel", False),
    tie: ("body.0:kernel", False),
    to_meta: ("body.2:kernel", True),
    quantize: ("body.2:kernel", True),
    quantize_layer: ("body.2:kernel", False),
    to_integers: ("body.2:kernel", True),
    make_sparse: ("body.2:kernel", True),
    norm_weight: ("body.2:kernel", True),
    parametrize_weight: ("body.2:kernel", True),
    prune_by_torch: ("body.2:kernel", True),
    delete_weight: ("body.2:kernel", True),
    make_property: ("body.2:kernel", True),
}


def network():
    torch.manual_seed(0)
    return Network()


def attached(policy=HALF, by_hand=False):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    pruner = secateur.attach(model, policy, optimizer=None if by_hand else optimizer)
    update(model, optimizer)
    if by_hand:
        pruner.step()
    return model, optimizer, pruner


def update(model, optimizer):
    """Update all parameters by a gradient of ones, whatever the model can still compute."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()


def update_and_step(model, optimizer, pruner):
    update(model, optimizer)
    pruner.step()


def detach(pruner):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the schedule is not at its end; the model has changed
        pruner.detach()


def changes(pruner):
    return pruner._binding.model_changes()


@pytest.mark.parametrize("act", TOLD, ids=lambda act: act.__name__)
@pytest.mark.parametrize("policy", [HALF, EACH_STEP, LATE], ids=["half", "each step", "late"])
def test_a_change_is_told_by_name_and_the_pruner_lets_go(act, policy):
    name, _ = TOLD[act]
    model, optimizer, pruner = attached(policy)
    assert not changes(pruner)
    act(model)
    notes = changes(pruner)
    assert name in notes
    assert all(name in note and len(note) < 400 for name, note in notes.items())
    assert all(note.endswith(ATTACH_AGAIN) for note in notes.values())
    assert name not in pruner._binding.nonzero_pruned()
    report = pruner.report()
    assert set(notes.values()) <= set(report.notes)
    assert all(each.kept == each.size for each in report.weights if each.name in notes)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pruner.detach()
    assert any(name in str(warning.message) for warning in caught)
    assert not any("detach()" in str(warning.message) for warning in caught)
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize("act", TOLD, ids=lambda act: act.__name__)
@pytest.mark.parametrize("by_hand", [False, True], ids=["optimizer", "by hand"])
def test_an_update_after_a_change_masks_the_other_weights(act, by_hand):
    name, is_error = TOLD[act]
    model, optimizer, pruner = attached(by_hand=by_hand)
    kept = torch.from_numpy(pruner.masks["body.0:kernel"].copy())
    first = model.body[0]
    act(model)
    for _ in range(2):
        if is_error:
            with pytest.raises(ModelError, match=r"detach\(\)") as error:
                update_and_step(model, optimizer, pruner)
            assert name in str(error.value)
        else:
            update(model, optimizer)
            pruner.step(0)
        assert not first.weight[~kept].any()
        assert first.weight[kept].any()


@pytest.mark.parametrize("act", TOLD, ids=lambda act: act.__name__)
def test_nothing_but_declared_errors_comes_out_of_a_recomputation(act):
    model, optimizer, _ = attached(LATE)
    act(model)
    try:
        for _ in range(4):
            update(model, optimizer)
    except ModelError as error:
        assert "uniform" not in str(error)  # noqa: PT017 - there need not be an error
        assert TOLD[act][1]


def half_precision(m):
    m.half()


def double(m):
    m.double()


def assign(m):
    m.load_state_dict(copy.deepcopy(m.state_dict()), assign=True)
    m.head.weight = m.tokens.weight


def freeze(m):
    m.requires_grad_(False)


def wrap(m):
    m.body[0] = torch.compile(m.body[0])


def move_below(m):
    m.body = nn.Sequential(m.body)


def add_layer(m):
    m.extra = nn.Linear(3, 3)


def remove_tied_head(m):
    m.head = nn.Identity()


HARMLESS = [half_precision, double, assign, freeze, wrap, move_below, add_layer, remove_tied_head]


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("act", HARMLESS, ids=lambda act: act.__name__)
def test_a_change_that_leaves_the_masks_in_place_is_no_note(act):
    model, _, pruner = attached()
    act(model)
    assert not changes(pruner)
    pruner.step(0)
    assert not pruner.report().notes
    for name, weight in {"body.0:kernel": 0, "body.2:kernel": 2}.items():
        layer = (model.body[0] if len(model.body) == 1 else model.body)[weight]
        zeros = layer.weight.detach().float().numpy() == 0
        np.testing.assert_array_equal(zeros & ~pruner.masks[name], ~pruner.masks[name])


def test_parts_of_a_packed_weight_are_told_each():
    model = nn.ModuleDict({"attn": nn.MultiheadAttention(4, 2), "fc": nn.Linear(4, 4)})
    pruner = secateur.attach(model, HALF)
    model["attn"].in_proj_weight = nn.Parameter(torch.randn(24, 8))
    names = {f"attn:{role}" for role in ("query", "key", "value")}
    assert set(changes(pruner)) == names
    with pytest.raises(ModelError, match="attn:query has the shape"):
        pruner.step()


def test_a_model_that_cannot_be_read_is_told():
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})
    pruner = secateur.attach(model, HALF)
    model["c"] = nn.LazyLinear(3)
    assert "cannot be read" in changes(pruner)[""]
    assert any("cannot be read" in note for note in pruner.report().notes)
    detach(pruner)


def test_a_sharded_parameter_is_told(tmp_path):
    dist = torch.distributed
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        model = nn.Sequential(nn.Linear(4, 4))
        pruner = secateur.attach(model, HALF)
        from torch.distributed.fsdp import fully_shard

        fully_shard(model)
        assert "sharded after" in changes(pruner)["0:kernel"]
        assert pruner.report().kept == 16
        detach(pruner)
    finally:
        dist.destroy_process_group()


def test_a_weight_that_may_not_be_written_is_an_error_with_its_name():
    model = nn.Sequential(nn.Linear(4, 4))
    pruner = secateur.attach(model, HALF)
    model[0].weight = nn.Parameter(torch.randn(4, 1).expand(4, 4))
    with pytest.raises(ModelError, match="0:kernel cannot be written"):
        pruner.step(0)


def test_tensors_can_be_swapped_while_a_pruner_is_attached():
    model, optimizer, pruner = attached()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        model.double()
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    update(model, optimizer)
    assert pruner.current_step == 2
    assert pruner.report().sparsity == 0.5
    assert not changes(pruner)
    pruner.detach()
