"""A checkpoint and the PyTorch model it was saved from have the same weights and masks."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import load_file, save_file  # noqa: E402
from torch import nn  # noqa: E402

import secateur  # noqa: E402
from secateur.checkpoints import open_checkpoint  # noqa: E402
from secateur.checkpoints.bind import CheckpointBinding  # noqa: E402
from secateur.cli.model_files import open_model  # noqa: E402
from secateur.hooks.dispatch import bind  # noqa: E402

pytestmark = pytest.mark.framework

HALF = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}


class Vision(nn.Module):
    """The parameters of a vision transformer that are no kernels, and those that are."""

    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, 8))
        self.pos_embed = nn.Parameter(torch.randn(1, 5, 8))
        self.rel_pos_h = nn.Parameter(torch.randn(3, 8))
        self.proj = nn.Conv2d(3, 8, 2)
        self.attn = nn.MultiheadAttention(8, 2, add_bias_kv=True)
        self.norm = nn.LayerNorm((4, 8))
        self.fc = nn.Linear(8, 4)


class Parts(nn.Module):
    """Scales, tables and states that libraries keep as parameters."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 4)
        self.A_log = nn.Parameter(torch.randn(4, 3))
        self.gamma = nn.Parameter(torch.randn(4, 1, 1))
        self.layer_scale_1 = nn.Parameter(torch.randn(4, 1))
        self.relative_position_bias_table = nn.Parameter(torch.randn(9, 2))
        self.scale = nn.Parameter(torch.randn(1, 4))
        self.register_tokens = nn.Parameter(torch.randn(1, 4, 6))
        self.register_buffer("mask", torch.ones(6, 6))
        self.register_buffer("inv_freq", torch.ones(6, 1))


class Conv1D(nn.Module):
    """A dense layer that keeps its weight as (in, out), as that of GPT-2 does."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.randn(outputs))


Conv1D.__module__ = "transformers.pytorch_utils"
conv1d = Conv1D


def nested(**layers):
    return nn.Sequential(OrderedDict(layers))


MODELS = {
    "lstm": lambda: nested(rnn=nn.LSTM(5, 6)),
    "gru": lambda: nested(rnn=nn.GRU(5, 6), head=nn.Linear(6, 2)),
    "rnn": lambda: nested(rnn=nn.RNN(5, 6, nonlinearity="relu", bias=False)),
    "square": lambda: nested(rnn=nn.LSTM(6, 6, 2)),
    "both-ways": lambda: nested(rnn=nn.GRU(5, 6, bidirectional=True)),
    "stacked": lambda: nested(a=nested(rnn=nn.LSTM(5, 6, 3)), head=nn.Linear(6, 2)),
    "stacked-both-ways": lambda: nested(rnn=nn.LSTM(4, 3, 2, bidirectional=True)),
    "projected": lambda: nested(rnn=nn.LSTM(5, 6, proj_size=2)),
    "projected-both-ways": lambda: nested(rnn=nn.LSTM(5, 8, 2, proj_size=3, bidirectional=True)),
    "one-unit": lambda: nested(rnn=nn.LSTM(1, 1), other=nn.GRU(4, 1)),
    "cells": lambda: nested(a=nn.LSTMCell(3, 4), b=nn.GRUCell(4, 4), c=nn.RNNCell(4, 2)),
    "root-lstm": lambda: nn.LSTM(3, 4, 2),
    "root-gru": lambda: nn.GRU(3, 4),
    "root-cell": lambda: nn.GRUCell(3, 4),
    "attention": lambda: nested(attn=nn.MultiheadAttention(8, 2)),
    "attention-of-sizes": lambda: nested(a=nn.MultiheadAttention(8, 2, kdim=5, vdim=6)),
    "root-attention": lambda: nn.MultiheadAttention(8, 2, bias=False),
    "transformer": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16), 2, enable_nested_tensor=False
    ),
    "vision": Vision,
    "parts": Parts,
    "norms": lambda: nested(
        c=nn.Conv1d(4, 4, 3), bn=nn.BatchNorm1d(4), ln=nn.LayerNorm((4, 3)), l=nn.Linear(3, 2),
        final_norm=nn.RMSNorm((4, 2)), p=nn.PReLU(4),
    ),
    "embeddings": lambda: nested(
        word_embeddings=nn.Embedding(9, 4), wte=nn.Embedding(5, 4), embed_tokens=nn.Embedding(5, 4),
        emb=nn.EmbeddingBag(5, 4), lm_head=nn.Linear(4, 9),
    ),
    "transposed": lambda: nested(
        a=nn.ConvTranspose2d(4, 6, 3), b=nn.ConvTranspose2d(6, 4, 3, groups=2),
        c=nn.ConvTranspose1d(3, 5, 2), d=nn.ConvTranspose3d(4, 2, 2), e=nn.Conv2d(2, 1, 2),
        f=nn.ConvTranspose2d(6, 9, 2, groups=3),
    ),
    "inputs-first": lambda: nested(c_attn=conv1d(4, 12), mlp=nested(c_fc=conv1d(4, 16),
                                   c_proj=conv1d(16, 4)), c_proj=conv1d(4, 4),
                                   head=nn.Linear(4, 4), out=nn.Linear(4, 2)),
    "convolutions": lambda: nested(a=nn.Conv1d(4, 6, 3), b=nn.Conv2d(6, 4, 3),
                                   c=nn.Conv3d(4, 4, 2, groups=2)),
}  # fmt: skip


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(1)
    return MODELS[request.param]()


def bound(path: Path):
    return CheckpointBinding(open_checkpoint(path)).binding


def saved(model: nn.Module, path: Path) -> Path:
    state = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    if path.suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in state.items()})
    elif path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def described(weights) -> dict:
    return {
        spec.name: (spec.kind, spec.role, spec.shape, spec.layer)
        for spec in (getattr(weight, "spec", weight) for weight in weights)
    }


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt"])
def test_a_file_has_the_weights_of_the_live_model(model, tmp_path, suffix):
    live = secateur.plan(model, HALF)
    binding = open_model(saved(model, tmp_path / f"model{suffix}"), None).binding
    found = described(binding.weights)
    assert found == described(planned.spec for planned in live.weights)
    for weight in binding.weights:
        [twin] = [w for w in live_weights(model) if w.spec.name == weight.spec.name]
        np.testing.assert_array_equal(weight.read(), twin.read())
    assert binding.ordered == (suffix != ".safetensors")
    if binding.ordered:  # and in the order of the model
        assert list(found) == [planned.spec.name for planned in live.weights]
        assert list(binding.layers) == list(bind(model).layers)


def test_a_tied_head_is_the_last_layer_of_a_file_as_it_is_of_the_model(tmp_path):
    model = nested(emb=nn.Embedding(5, 4), fc=nn.Linear(4, 4), head=nn.Linear(4, 5, bias=False))
    model.head.weight = model.emb.weight
    torch.save(model.state_dict(), tmp_path / "tied.pt")
    binding, live = open_model(tmp_path / "tied.pt", None).binding, bind(model)
    assert list(binding.layers) == list(live.layers) == ["emb", "fc", "head"]
    assert [weight.spec.alias_layers for weight in binding.weights] == [("head",), ()]


def live_weights(model):
    return bind(model).weights


POLICIES = {
    "unstructured": HALF,
    "blocks": HALF | {"pattern": {"kind": "block", "out": 2, "in": 2}},
    "global": HALF | {"distribution": "global"},
    "by kind": HALF | {"rules": [
        {"match": {"kind": "rnn", "role": "recurrent"}, "required": False, "prune": False},
        {"match": {"role": ["query", "output"]}, "required": False,
         "schedule": {"kind": "one_shot", "final_sparsity": 0.75}},
        {},
    ]},
}  # fmt: skip


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_pruned_file_is_the_state_dict_of_the_pruned_model(run, model, tmp_path, suffix, policy):
    import json

    (tmp_path / "policy.json").write_text(json.dumps(POLICIES[policy]))
    source = saved(model, tmp_path / f"model{suffix}")
    outcome = run("prune", source, "policy.json", "-o", f"pruned{suffix}", "--masks", "masks.npz")
    assert outcome.code == 0, outcome.err
    report = secateur.prune(model, tmp_path / "policy.json")
    state = model.state_dict()
    after = loaded(tmp_path / f"pruned{suffix}")
    assert after.keys() == state.keys()
    for name, tensor in state.items():
        assert after[name].numpy().tobytes() == tensor.numpy().tobytes(), name
    masks = secateur.transfer(tmp_path / "masks.npz", model)
    assert masks.keys() == report.masks.keys()
    for name, mask in report.masks.items():
        np.testing.assert_array_equal(masks[name], mask)


def loaded(path: Path):
    if path.suffix == ".safetensors":
        return load_file(path)
    with np.load(path) as arrays:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm", "older"])
def test_a_weight_that_is_computed_is_left_dense_in_a_file(run, half, tmp_path, norm):
    import warnings

    layer = nn.Linear(6, 4)
    if norm == "older":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            layer = nn.utils.weight_norm(layer)
    else:
        layer = getattr(nn.utils.parametrizations, norm)(layer)
    model = nested(normed=layer, fc=nn.Linear(4, 4))
    saved(model, tmp_path / "m.safetensors")
    table = run("plan", half, "m.safetensors", "--json").json
    assert [weight["name"] for weight in table["weights"]] == ["fc:kernel"]
    assert {each["name"] for each in table["skipped"]} == model.state_dict().keys() - {"fc.weight"}


def test_the_level_that_torch_compile_adds_does_not_show_in_names(tmp_path):
    model = nested(rnn=nn.GRU(3, 4, 2), fc=nn.Linear(4, 2), attn=nn.MultiheadAttention(4, 2))
    state = {f"_orig_mod.{name}": tensor for name, tensor in model.state_dict().items()}
    save_file(state, tmp_path / "m.safetensors")
    live = described(planned.spec for planned in secateur.plan(model, HALF).weights)
    assert described(bound(tmp_path / "m.safetensors").weights) == live


@pytest.mark.parametrize("arrays", [
    {"a.weight": np.ones((3, 4)), "a.bias": np.ones(5)},  # neither axis
    {"a.weight": np.ones((3, 4)), "a.bias": np.ones((4, 1))},
    {"a.weight": np.ones((4, 4)), "a.bias": np.ones(4)},
    {"a.c.weight": np.ones((4, 4)), "a.c.bias": np.ones(4), "b.c.weight": np.ones((3, 4)),
     "b.c.bias": np.ones(3), "d.c.weight": np.ones((3, 4)), "d.c.bias": np.ones(4)},
    {"a.weight": np.ones((4, 4, 3)), "a.bias": np.ones(4)},
    {"a.weight": np.ones((4, 3, 3)), "a.bias": np.ones(5)},
    {"a.weight": np.ones((4, 0, 3)), "a.bias": np.ones(5)},
    {"a.weight": np.ones((3, 2, 3)), "a.bias": np.ones(4)},  # two groups do not divide 3
])  # fmt: skip
def test_a_bias_that_tells_nothing_changes_nothing(tmp_path, arrays):
    np.savez(tmp_path / "m.npz", **arrays)
    first = bound(tmp_path / "m.npz").weights[0].spec
    assert first.kind == ("dense" if len(first.shape) == 2 else "conv")
    assert first.shape == next(iter(arrays.values())).shape


def test_gates_in_fortran_order_are_put_back_where_they_were(run, half, tmp_path):
    lstm = nested(rnn=nn.LSTM(5, 6))
    state = {name: np.asfortranarray(t.numpy()) for name, t in lstm.state_dict().items()}
    np.savez(tmp_path / "m.npz", **state)
    assert run("prune", "m.npz", half, "-o", "p.npz").code == 0
    secateur.prune(lstm, half)
    with np.load(tmp_path / "p.npz") as after:
        for name, tensor in lstm.state_dict().items():
            np.testing.assert_array_equal(after[name], tensor.numpy())
            assert after[name].flags.f_contiguous


def odd_gates(ih=(8, 3), hh=(8, 2), **others) -> dict[str, np.ndarray]:
    shapes = {"weight_ih_l0": ih, "weight_hh_l0": hh, **others}
    return {f"rnn.{name}": np.ones(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("arrays", [
    odd_gates(hh=(8, 4)),  # two gates
    odd_gates(hh=(8, 3)),  # no whole number
    odd_gates(hh=(8, 0)),
    odd_gates(ih=(12, 3)),  # other gates than the state's
    odd_gates(weight_hr_l0=(3, 2)),  # another state than the projection gives
    odd_gates(hh=(6, 2), ih=(6, 3), weight_hr_l0=(2, 2)),  # PyTorch projects LSTMs only
    {"rnn.weight_hh_l0": np.ones((8, 2))},
    {"rnn.weight_ih_l0": np.ones((8, 2))},
    {"a.in_proj_weight": np.ones((6, 3))},
    {"a.in_proj_weight": np.ones((7, 2))},
    {"a.q_proj_weight": np.ones((2, 2)), "a.k_proj_weight": np.ones((2, 2))},
    {"a.in_proj_weight": np.ones((6, 2), np.int64)},
])  # fmt: skip
def test_packed_tensors_that_do_not_fit_together_are_left_dense(run, half, tmp_path, arrays):
    np.savez(tmp_path / "m.npz", **arrays, **{"fc.weight": np.ones((2, 2))})
    table = run("plan", half, "m.npz", "--json").json
    assert [weight["name"] for weight in table["weights"]] == ["fc:kernel"]
    assert {each["name"] for each in table["skipped"]} == set(arrays)
    assert all(each["reason"] for each in table["skipped"])


def test_the_user_has_the_last_word_on_kinds(run, half, tmp_path):
    saved(Vision(), tmp_path / "m.npz")
    words = ["--kind", "cls_token=conv", "--kind", "attn:key=dense", "--kind", "fc.*=skip",
             "--kind", "norm.weight=dense"]  # fmt: skip
    outcome = run("plan", half, "m.npz", "--json", *words)
    names = {weight["name"]: weight["kind"] for weight in outcome.json["weights"]}
    assert ("cls_token", "conv") in names.items()
    assert names["attn.in_proj_weight"] == "dense"  # one tensor: what fits a part fits it all
    assert names["norm:kernel"] == "dense"
    assert "fc:kernel" not in names


def test_the_plan_notes_why_a_kind_was_told(run, half, tmp_path):
    saved(nested(rnn=nn.LSTM(5, 6), embed=nn.Embedding(4, 3)), tmp_path / "m.npz")
    outcome = run("plan", half, "m.npz")
    why = "assumed: rnn of 4 gates, by the rows of weight_hh over its columns"
    assert f"{why}: rnn:kernel and 1 more" in " ".join(outcome.out.split())
    assert "assumed: embedding, by the layer's name: embed:embedding" in outcome.out
    assert len(run("plan", half, "m.npz", "--json").json["notes"]) == 3


def test_names_that_a_user_chose_are_kernels_but_for_those_that_never_are(run, half, tmp_path):
    kernels = {name: np.ones((2, 3)) for name in ("fc", "encoder.ffn", "block/1", "w2")}
    others = {name: np.ones((2, 3)) for name in ("cls_token", "pos_embed", "a/bias", "A_log",
                                                 "x.scale", "freqs", "mask")}  # fmt: skip
    np.savez(tmp_path / "m.npz", **kernels, **others)
    table = run("plan", half, "m.npz", "--json").json
    assert {weight["name"] for weight in table["weights"]} == set(kernels)


def test_two_tensors_of_one_name_are_not_both_pruned(run, half, tmp_path):
    np.savez(tmp_path / "m.npz", **{"fc.weight": np.ones((2, 2)), "fc:kernel": np.ones((2, 2)),
                                    "b.kernel": np.ones((4, 4))})  # fmt: skip
    table = run("plan", half, "m.npz", "--json").json
    assert {weight["name"] for weight in table["weights"]} == {"fc:kernel", "b.kernel"}
