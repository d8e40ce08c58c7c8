"""Layers that hold the weights of many experts in one parameter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import secateur
from secateur_torch.binding import bind

HALF = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
E, HIDDEN, INNER = 3, 4, 5


def made(name, package, parameters, **attributes):
    """Make a layer of a class of that name and package, as a library has it."""
    cls = type(name, (nn.Module,), {"__module__": package})
    layer = cls()
    for key, shape in parameters.items():
        setattr(layer, key, nn.Parameter(torch.randn(*shape)))
    for key, value in attributes.items():
        setattr(layer, key, value)
    return layer


def of_transformers(name, parameters, **attributes):
    return made(name, f"transformers.models.x.modeling_{name.lower()}", parameters, **attributes)


def out_in(inner=INNER, hidden=HIDDEN):
    return {"gate_up_proj": (E, 2 * inner, hidden), "down_proj": (E, hidden, inner)}


def in_out(inner=INNER, hidden=HIDDEN):
    return {"gate_up_proj": (E, hidden, 2 * inner), "down_proj": (E, inner, hidden)}


BIASES = {"gate_up_proj_bias": (E, 2 * INNER), "down_proj_bias": (E, HIDDEN)}
GATED = {"gate_up_proj": (E, 2 * INNER, HIDDEN), "down_proj": (E, HIDDEN, INNER)}

CASES = {
    "mixtral": (lambda: of_transformers("MixtralExperts", out_in()), GATED),
    "qwen3 moe": (lambda: of_transformers("Qwen3MoeExperts", out_in()), GATED),
    "deepseek v3": (lambda: of_transformers("DeepseekV3Experts", out_in()), GATED),
    "gpt-oss": (
        lambda: of_transformers("GptOssExperts", in_out() | BIASES, is_transposed=True),
        GATED,
    ),
    "llama 4": (lambda: of_transformers("Llama4TextExperts", in_out()), GATED),
    "qwen3 vl, which was stored otherwise once": (
        lambda: of_transformers("Qwen3VLMoeTextExperts", in_out()),
        GATED,
    ),
    "hidden twice as wide as inner": (
        lambda: of_transformers("MixtralExperts", out_in(2, 4)),
        {"gate_up_proj": (E, 4, 4), "down_proj": (E, 4, 2)},
    ),
    "a copy in a user's own code": (lambda: made("MyExperts", "mine", out_in()), GATED),
    "nemotron": (
        lambda: of_transformers(
            "NemotronHExperts",
            {"up_proj": (E, INNER, HIDDEN), "down_proj": (E, HIDDEN, INNER)},
            hidden_dim=HIDDEN,
        ),
        {"up_proj": (E, INNER, HIDDEN), "down_proj": (E, HIDDEN, INNER)},
    ),
    "gate and up apart": (
        lambda: of_transformers(
            "InklingSharedExperts",
            {
                "gate_proj": (E, INNER, HIDDEN),
                "up_proj": (E, INNER, HIDDEN),
                "down_proj": (E, HIDDEN, INNER),
            },
        ),
        {
            "gate_proj": (E, INNER, HIDDEN),
            "up_proj": (E, INNER, HIDDEN),
            "down_proj": (E, HIDDEN, INNER),
        },
    ),
    "dbrx": (
        lambda: of_transformers(
            "DbrxExpertGLU",
            dict.fromkeys(("w1", "v1", "w2"), (E * INNER, HIDDEN)),
            moe_num_experts=E,
            ffn_hidden_size=INNER,
            hidden_size=HIDDEN,
        ),
        {"w1": (E, INNER, HIDDEN), "v1": (E, INNER, HIDDEN), "w2": (E, HIDDEN, INNER)},
    ),
    "torchtitan": (
        lambda: made(
            "GroupedExperts",
            "torchtitan.models.moe",
            {"w1": (E, INNER, HIDDEN), "w2": (E, HIDDEN, INNER), "w3": (E, INNER, HIDDEN)},
        ),
        {"w1": (E, INNER, HIDDEN), "w2": (E, HIDDEN, INNER), "w3": (E, INNER, HIDDEN)},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_expert_weights_are_found_as_expert_out_in(case):
    make, expected = CASES[case]
    binding = bind(nn.ModuleDict({"experts": make(), "fc": nn.Linear(2, 2)}))
    found = {w.spec.name: w.spec for w in binding.weights if w.spec.layer != "fc"}
    assert {name: spec.shape for name, spec in found.items()} == {
        f"experts.{key}:kernel": shape for key, shape in expected.items()
    }
    assert {spec.kind for spec in found.values()} == {"expert"}
    assert not binding.skipped


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: of_transformers("JetMoeParallelExperts", {"weight": (E, 5, 4)}), (E, 5, 4)),
        (lambda: of_transformers("AriaGroupedExpertsGemm", {"weight": (E, 4, 5)}), (E, 5, 4)),
    ],
)
def test_a_single_parameter_has_the_name_of_its_layer(make, shape):
    (weight,) = bind(nn.ModuleDict({"experts": make()})).weights
    assert (weight.spec.name, weight.spec.shape) == ("experts:kernel", shape)


class CondConv2d(nn.Module):
    """As timm has it."""

    __module__ = "timm.layers.cond_conv2d"

    def __init__(self):
        super().__init__()
        self.in_channels, self.out_channels, self.groups, self.num_experts = 4, 6, 2, 3
        self.kernel_size = (3, 3)
        self.weight = nn.Parameter(torch.randn(3, 6 * 2 * 9))
        self.bias = nn.Parameter(torch.randn(3, 6))

    def filters(self, expert):
        return self.weight[expert].view(6, 2, 3, 3)


def test_conditional_convolutions_hold_one_row_an_expert():
    layer = CondConv2d()
    (weight,) = bind(layer).weights
    assert (weight.spec.kind, weight.spec.shape) == ("expert", (3, 6, 18))
    mask = np.ones((3, 6, 18), bool)
    mask[1, 4] = False
    bind(layer).apply({weight.spec.name: mask})
    assert not layer.filters(1)[4].any()
    assert layer.filters(1)[3].all()
    assert layer.filters(0).all()


@pytest.mark.parametrize("case", ["mixtral", "gpt-oss"])
def test_out_is_out_by_meaning(case):
    layer = CASES[case][0]()
    binding = bind(layer)
    masks = {weight.spec.name: np.ones(weight.spec.shape, bool) for weight in binding.weights}
    (down,) = (name for name in masks if "down" in name)
    masks[down][2, 1] = False  # what leads to output 1 of expert 2
    binding.apply(masks)
    inner = torch.randn(7, INNER)
    expert = layer.down_proj[2].detach()
    output = inner @ expert if case == "gpt-oss" else nn.functional.linear(inner, expert)
    assert not output[:, 1].any()
    assert output[:, 0].all()


@pytest.mark.parametrize("rule", [{}, {"pattern": {"kind": "channel", "axis": "out"}}])
def test_a_mixture_of_experts_is_pruned_whole(rule):
    torch.manual_seed(0)
    model = nn.ModuleDict({"router": nn.Linear(4, 3), "experts": CASES["mixtral"][0]()})
    policy = HALF | {"rules": [{"match": {"kind": "expert"}, **rule}]}
    report = secateur.prune(model, policy)
    zeros = sum(int((p == 0).sum()) for p in model["experts"].parameters())
    size = sum(p.numel() for p in model["experts"].parameters())
    assert zeros == size // 2
    assert report.sparsity == pytest.approx(zeros / (size + 12))


UNKNOWN = {
    "names that say nothing": lambda: made("Mixture", "mine", {"first": (3, 4, 5)}),
    "shapes that do not fit": lambda: made(
        "MyExperts", "mine", {"gate_up_proj": (3, 8, 5), "down_proj": (3, 7, 4)}
    ),
    "up and down of an unknown package": lambda: made(
        "MyExperts", "mine", {"up_proj": (3, 4, 5), "down_proj": (3, 5, 4)}
    ),
    "one that is missing": lambda: of_transformers("HalfExperts", {"gate_up_proj": (3, 4, 5)}),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_other_layers_with_three_axes_are_left_dense_with_their_size(case):
    layer = UNKNOWN[case]()
    binding = bind(nn.ModuleDict({"moe": layer, "fc": nn.Linear(2, 2)}))
    assert [weight.spec.name for weight in binding.weights] == ["fc:kernel"]
    (skipped,) = binding.skipped
    assert skipped.size == sum(p.numel() for p in layer.parameters())
    assert "secateur_layer_weights hook can teach it" in skipped.reason
