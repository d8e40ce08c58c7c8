"""What targets say of models: eligible or why not, zeros that are used, and a policy that fits."""

from __future__ import annotations

import tomllib
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import secateur
from secateur.adapter import WeightSpec
from secateur.kinds import kind_named
from secateur.policy.policy import Policy
from secateur.targets.load import load, names
from secateur.targets.zeros import count_zeros

RANDOM = np.random.default_rng(0)


def model(**shapes: tuple) -> dict:
    """Return float32 weights of the given kinds and shapes."""
    return {
        name.replace("__", ":"): (RANDOM.normal(size=shape).astype("float32"), kind)
        for name, (kind, *shape) in shapes.items()
    }


CNN = {
    "stem": ("conv", 16, 3, 3, 3),
    "dw": ("depthwise", 16, 1, 3, 3),
    "pw": ("conv", 64, 16, 1, 1),
    "wide": ("conv", 64, 64, 3, 3),
    "head": ("dense", 10, 64),
}
MODELS = {
    "cnn": CNN,
    "mlp": {"a": ("dense", 64, 784), "b": ("dense", 64, 64), "head": ("dense", 10, 64)},
    "sequence": {
        "embed": ("embedding", 50, 64),
        "lstm__kernel": ("rnn", 4, 64, 64),
        "lstm__recurrent": ("rnn", 4, 64, 64),
        "head": ("dense", 50, 64),
    },
    "transformer": {
        "embed": ("embedding", 50, 64),
        "attn__query": ("attention", 64, 64),
        "attn__output": ("attention", 64, 64),
        "ffn": ("dense", 256, 64),
    },
    "odd": {"conv": ("conv", 7, 5, 3, 3), "pw": ("conv", 9, 7, 1, 1), "fc": ("dense", 3, 9)},
    "tiny": {"fc": ("dense", 1, 2), "conv": ("conv", 1, 1, 1, 1)},
    "nothing": {"embed": ("embedding", 8, 4), "up": ("conv_transpose", 4, 4, 2)},
}


@pytest.mark.parametrize("target", names())
def test_the_policy_to_copy_plans_and_its_zeros_are_used_and_no_others_are_set(target):
    for kind, shapes in MODELS.items():
        weights = model(**shapes)
        report = secateur.target(target, weights)
        assert max(map(len, str(report).splitlines())) <= 80, kind
        assert not report.meets
        if report.policy is None:
            assert not report.eligible
            continue
        policy = Policy.parse(tomllib.loads(report.policy))
        assert secateur.target(target, weights, policy).meets, kind
        masks = secateur.prune(weights, policy).masks
        after = secateur.target(target, weights)
        assert after.meets
        assert {each.spec.name for each in after.weights if each.status == "met"} == set(masks)
        assert {each.spec.name for each in after.eligible} == set(masks)


def reasons(target: str, weights: dict, name: str) -> str:
    report = secateur.target(target, weights)
    found = next(each for each in report.weights if each.spec.name == name)
    return "; ".join(why for each in found.reasons.values() for why in each)


def test_why_a_weight_is_not_taken_is_said():
    cnn = model(**CNN)
    assert "window 3x3" in reasons("xnnpack-arm", cnn, "wide")
    assert reasons("xnnpack-arm", cnn, "pw") == ""
    assert "depthwise" in reasons("tensorrt", cnn, "dw")
    assert "in = 3 is no multiple of 4" in reasons("tensorrt", cnn, "stem")
    assert "kind rnn" in reasons("ethos-u55", model(**MODELS["sequence"]), "lstm:kernel")
    assert "out = 10 is no multiple of 16" in reasons("torch-2to4", cnn, "head")
    assert "float64: cast" in reasons("coreml", {"fc": np.ones((16, 16))}, "fc")
    assert "would leave nothing" in reasons("fpga", model(**MODELS["tiny"]), "fc")
    assert "holds no element" in reasons("fpga", {"fc": np.ones((0, 4), "float32")}, "fc")


def test_a_model_without_a_layer_for_the_target_gets_no_policy():
    report = secateur.target("openvino", model(**MODELS["nothing"]))
    assert report.policy is None
    assert report.eligible == ()
    assert "no policy gains anything on openvino" in str(report)


def test_zeros_of_another_pattern_are_told_from_those_that_are_used():
    weights = model(a=("dense", 8, 16), b=("dense", 8, 16))
    array = weights["a"][0]
    array[:, 2::4] = array[:, 3::4] = 0
    assert secateur.target("tensorrt", weights).meets  # b is dense: it was left out on purpose
    array[0, 2] = 1
    report = secateur.target("tensorrt", weights)
    assert not report.meets
    assert [each.status for each in report.weights] == ["not met", "dense"]
    assert report.weights[0].problem == "2:4: 1 of 32 sets are not 2:4"


def test_the_best_use_that_the_zeros_allow_is_the_one_that_counts():
    weights = model(fc=("dense", 64, 64))
    weights["fc"][0][0, :4] = 9  # so four of four are kept somewhere
    secateur.prune(weights, {"schedule": {"kind": "one_shot", "final_sparsity": 0.9}})
    report = secateur.target("ethos-u85", weights)
    assert report.meets
    assert report.weights[0].use.id == "loaded"


def test_a_share_that_counts_over_all_weights_is_judged_over_all():
    weights = model(a=("dense", 64, 64), b=("dense", 640, 64))
    secateur.prune({"a": weights["a"]}, one_shot(0.9))
    report = secateur.target("xnnpack-arm", weights)
    assert report.weights[0].use.id == "encoded"  # smaller, and not faster: b is dense
    assert "sparse: sparsity 0.0818, wanted above 2/3, over all" in str(report)
    secateur.prune({"b": weights["b"]}, one_shot(0.7))
    assert {each.use.id for each in secateur.target("xnnpack-arm", weights).weights} == {"sparse"}


def one_shot(sparsity: float) -> dict:
    return {"schedule": {"kind": "one_shot", "final_sparsity": sparsity}}


def test_a_policy_is_judged_without_a_change_to_the_model():
    weights = model(**MODELS["mlp"])
    before = {name: array.copy() for name, (array, _) in weights.items()}
    assert secateur.target("fpga", weights, one_shot(0.9)).meets
    assert not secateur.target("fpga", weights, one_shot(0.2)).meets
    assert all((weights[name][0] == before[name]).all() for name in before)


def test_zeros_that_the_target_cannot_use_are_noted():
    weights = model(**CNN)
    weights["dw"][0][:8] = 0
    assert any("no use of the zeros of: dw" in n for n in secateur.target("fpga", weights).notes)


def test_names_that_look_like_globs_or_like_layers_are_matched_exactly():
    weights = {
        "fc": (np.ones((16, 16), "float32"), "dense"),
        "fc:recurrent": (np.ones((1, 15, 15), "float32"), "rnn"),
        "b[0]*": (np.ones((16, 15), "float32"), "dense"),
        'q"uote\n': (np.ones((16, 16), "float32"), "dense"),
        "x" * 1200: (np.ones((15, 16), "float32"), "dense"),
    }
    report = secateur.target("torch-2to4", weights)
    assert report.policy is None  # a name of 1,200 characters fits in no policy
    assert "no policy can name" in str(report)
    del weights["x" * 1200]
    report = secateur.target("torch-2to4", weights)
    policy = Policy.parse(tomllib.loads(report.policy))
    assert set(secateur.prune(weights, policy).masks) == {"fc", 'q"uote\n'}


def test_a_report_is_shown_in_notebooks_without_markup_of_names():
    html = secateur.target("fpga", {"<b>": np.ones((4, 4), "float32")})._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html


@given(st.data())
def test_zeros_are_counted_as_a_naive_count_does(data):
    kind = data.draw(st.sampled_from(["dense", "conv", "rnn"]))
    rank = {"dense": 2, "conv": 4, "rnn": 3}[kind]
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=rank, max_size=rank)))
    bits = data.draw(st.lists(st.booleans(), min_size=prod(shape), max_size=prod(shape)))
    nonzero = np.array(bits).reshape(shape)
    spec = WeightSpec("w", kind, "kernel", shape, "float32", "w")
    axis = kind_named(kind).in_axis
    rows = np.moveaxis(nonzero, axis, -1).reshape(-1, shape[axis])
    sets = [row[at : at + 4] for row in rows for at in range(0, len(row), 4)]
    found = count_zeros(load("tensorrt").use("2:4"), spec, nonzero)
    assert (found.sets, found.broken) == (len(sets), sum(each.sum() > 2 for each in sets))
    assert found.zeros == nonzero.size - nonzero.sum()


def test_a_name_that_is_no_target_is_an_error_with_the_nearest():
    with pytest.raises(secateur.TargetError, match="did you mean 'ethos-u85'"):
        secateur.target("ethos-u8", {"fc": np.ones((2, 2))})
    with pytest.raises(secateur.TargetError, match="no such file"):
        load("missing.toml")
    for wrong in (None, 5, "", "\0.toml"):
        with pytest.raises(secateur.TargetError):
            secateur.target(wrong, {"fc": np.ones((2, 2))})


@pytest.mark.parametrize("target", ["ethos-u55", "ethos-u85", "xnnpack-arm", "xnnpack-x86", "fpga"])
def test_a_convolution_over_three_axes_is_not_taken_where_no_source_says_so(target):
    report = secateur.target(target, {"video": np.ones((64, 64, 3, 3, 3), "float32")})
    assert report.policy is None
    assert "over 3 axes: at most 2 are taken" in str(report)
