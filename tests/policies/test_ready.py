"""The ready policies do on a fitting model what their comments say."""

from __future__ import annotations

import numpy as np
import pytest

import secateur
import secateur.policy.ready

RANDOM = np.random.default_rng(0)


def weights(**shapes: tuple) -> dict:
    return {
        name.replace("__", ":"): (RANDOM.normal(size=shape), kind)
        for name, (kind, *shape) in shapes.items()
    }


CNN = {
    "stem": ("conv", 16, 3, 3, 3),
    "a": ("conv", 32, 16, 3, 3),
    "dw": ("depthwise", 32, 1, 3, 3),
    "b": ("conv", 64, 32, 3, 3),
    "head": ("dense", 10, 64),
}
RNN = {
    "embed": ("embedding", 50, 16),
    "lstm__kernel": ("rnn", 4, 32, 16),
    "lstm__recurrent": ("rnn", 4, 32, 32),
    "mid": ("dense", 32, 32),
    "head": ("dense", 10, 32),
}
SEPARABLE = {
    "stem": ("conv", 16, 3, 3, 3),
    "dw": ("depthwise", 16, 1, 3, 3),
    "pw": ("conv", 64, 16, 1, 1),
    "dw2": ("depthwise", 64, 1, 3, 3),
    "pw2": ("conv", 128, 64, 1, 1),
    "head": ("dense", 2, 128),
}
MLP = {"a": ("dense", 64, 16), "b": ("dense", 32, 64), "head": ("dense", 5, 32)}
TRANSFORMER = {
    "embed": ("embedding", 50, 16),
    "attn__query": ("attention", 16, 16),
    "attn__output": ("attention", 16, 16),
    "ffn": ("dense", 64, 16),
    "head": ("dense", 50, 16),
}
MODELS = {
    "cnn-80": (CNN, {"stem", "dw", "head"}, 0.8),
    "cnn-block-4x1": (CNN, {"stem", "dw", "head"}, 0.7),
    "ethos-u85-2to4": (CNN, {"stem", "dw", "head"}, 0.5),
    "apple-14of16": (TRANSFORMER, {"embed", "head"}, 0.875),
    "fpga-90": (MLP, {"head"}, 0.9),
    "rnn-80": (RNN, {"embed", "head"}, None),
    "transformer-2to4": (TRANSFORMER, {"embed", "head"}, 0.5),
    "embedding-50": (RNN, {"lstm:kernel", "lstm:recurrent", "mid", "head"}, 0.5),
}


def test_every_ready_policy_is_tried_here():
    assert set(MODELS) == set(secateur.policy.ready.names())


@pytest.mark.parametrize("name", MODELS)
def test_it_prunes_what_it_says_and_no_more(name):
    shapes, dense, sparsity = MODELS[name]
    model = weights(**shapes)
    report = secateur.prune(model, name)
    pruned = [weight for weight in report.weights if weight.name in report.masks]
    left = {weight.name for weight in report.weights} - {weight.name for weight in pruned}
    assert left == dense
    if sparsity is not None:
        size = sum(weight.size for weight in pruned)
        kept = sum(weight.kept for weight in pruned)
        assert kept / size == pytest.approx(1 - sparsity, abs=0.002)


TARGETS = {
    "ethos-u85-2to4": ("ethos-u85", CNN, "2:4"),
    "apple-14of16": ("coreml", TRANSFORMER, "8:16"),
    "fpga-90": ("fpga", MLP, "unrolled"),
    "transformer-2to4": ("tensorrt", TRANSFORMER, "2:4"),
    "cnn-block-4x1": ("xnnpack-arm", SEPARABLE, "sparse"),
}


@pytest.mark.parametrize("name", TARGETS)
def test_its_target_uses_the_zeros_that_it_sets(name):
    target, shapes, use = TARGETS[name]
    model = {
        key: (array.astype("float32"), kind) for key, (array, kind) in weights(**shapes).items()
    }
    assert not secateur.target(target, model).meets
    pruned = set(secateur.prune(model, name).masks)
    report = secateur.target(target, model)
    used = {each.spec.name for each in report.weights if each.status == "met"}
    assert report.meets
    assert used == pruned
    assert {each.use.id for each in report.weights if each.status == "met"} == {use}


def test_blocks_gain_nothing_for_3x3_convolutions():
    model = {key: (a.astype("float32"), kind) for key, (a, kind) in weights(**CNN).items()}
    found = secateur.target("xnnpack-arm", model, "cnn-block-4x1").weights
    gains = {each.spec.name: each.use.gains for each in found if each.spec.name in ("a", "b")}
    assert gains.keys() == {"a", "b"}
    assert not any("latency" in each for each in gains.values())


def test_the_recurrent_weights_stay_denser():
    kept = {w.name: w.sparsity for w in secateur.prune(weights(**RNN), "rnn-80").weights}
    assert kept["lstm:recurrent"] == pytest.approx(0.7, abs=1e-3)
    assert kept["lstm:kernel"] == pytest.approx(0.8, abs=1e-3)
    assert kept["mid"] == pytest.approx(0.8, abs=1e-3)


def test_blocks_are_of_four_outputs():
    mask = secateur.prune(weights(**CNN), "cnn-block-4x1").masks["a"]
    assert (mask.reshape(8, 4, 16, 3, 3).all(1) == mask.reshape(8, 4, 16, 3, 3).any(1)).all()


def test_of_four_neighbours_two_stay():
    mask = secateur.prune(weights(**TRANSFORMER), "transformer-2to4").masks["ffn"]
    assert (mask.reshape(64, 4, 4).sum(2) == 2).all()


def test_a_run_under_shares_of_its_length_ends_at_the_target():
    model = weights(**CNN)
    pruner = secateur.attach(model, "cnn-80", total_steps=2000)
    pruner.step(1500)
    assert pruner.report().notes == ()
    with pytest.raises(secateur.PolicyError, match="total_steps="):
        secateur.attach(model, "cnn-80")
