"""What the calls mean as a policy: the same masks, or an error that says why there is none."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import secateur
import secateur_torch.compat.prune as prune
from secateur.errors import PolicyError


def network():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "conv": nn.Conv2d(3, 10, 3),
            "up": nn.ConvTranspose2d(10, 4, 2),
            "norm": nn.BatchNorm2d(4),
            "gru": nn.GRU(5, 7),
            "attention": nn.MultiheadAttention(8, 2),
            "[0]": nn.Linear(5, 5),
        }
    )


def pairs(net):
    return [(net["conv"], "weight"), (net["gru"], "weight_ih_l0"), (net["[0]"], "weight")]


def twice_globally(net):
    for amount in (0.3, 17):
        prune.global_unstructured(pairs(net), prune.L1Unstructured, amount=amount)


CALLS = {
    "l1": lambda net: prune.l1_unstructured(net["gru"], "weight_hh_l0", 0.3),
    "half of 25 is 12": lambda net: prune.l1_unstructured(net["[0]"], "weight", 0.5),
    "twice": lambda net: [prune.l1_unstructured(net["conv"], "weight", a) for a in (0.2, 0.5)],
    "filters": lambda net: prune.ln_structured(net["conv"], "weight", 3, n=2, dim=0),
    "inputs": lambda net: prune.ln_structured(net["conv"], "weight", 0.3, n=2, dim=1),
    "transposed": lambda net: prune.ln_structured(net["up"], "weight", 1, n=2, dim=-3),
    "packed": lambda net: prune.l1_unstructured(net["attention"], "in_proj_weight", 0.6),
    "global": twice_globally,
}


@pytest.mark.parametrize("name", CALLS)
def test_the_policy_makes_the_masks_of_the_calls(name: str, tmp_path) -> None:
    net = network()
    plain = copy.deepcopy(net)
    CALLS[name](net)
    policy = prune.to_policy(net, tmp_path / "policy.toml")
    assert secateur.Policy.load(tmp_path / "policy.toml").fingerprint == policy.fingerprint
    secateur.prune(plain, policy)
    for (path, mine), other in zip(net.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine, other), path


def test_equal_calls_share_a_rule_and_chance_is_a_criterion() -> None:
    net = network()
    for name in ("conv", "[0]"):
        prune.random_unstructured(net[name], "weight", 0.4)
    (rule,) = prune.to_policy(net).resolved_rules
    assert rule.match.name == ("conv:kernel", "[[]0]:kernel")
    assert rule.method.criterion.kind == "random"
    assert secateur.prune(network(), prune.to_policy(net)).sparsity > 0


def test_a_tied_weight_is_named_once() -> None:
    net = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9, bias=False))
    net[1].weight = net[0].weight
    for layer in net:
        prune.l1_unstructured(layer, "weight", 0.25)
    (rule,) = prune.to_policy(net).resolved_rules
    assert rule.match.name == ("0:embedding",)


WITHOUT = {
    "nothing in this model is pruned": lambda net: None,
    "norm.weight is no weight that policies prune": lambda net: prune.l1_unstructured(
        net["norm"], "weight", 0.5
    ),
    "L1Unstructured, then LnStructured": lambda net: prune.ln_structured(
        prune.l1_unstructured(net["conv"], "weight", 0.5), "weight", 2, n=2, dim=0
    ),
    "pruned by CustomFromMask": lambda net: prune.custom_from_mask(
        net["[0]"], "weight", torch.eye(5)
    ),
    "scores of your own": lambda net: prune.l1_unstructured(
        net["[0]"], "weight", 0.5, torch.rand(5, 5)
    ),
    "the norm 1": lambda net: prune.ln_structured(net["conv"], "weight", 2, n=1, dim=0),
    "neither out nor in": lambda net: prune.ln_structured(net["conv"], "weight", 1, n=2, dim=2),
    "not in this model": lambda net: prune.remove([twice_globally(net), net["[0]"]][1], "weight"),
}


@pytest.mark.parametrize("why", WITHOUT)
def test_calls_without_one_meaning_are_named(why: str) -> None:
    net = network()
    WITHOUT[why](net)
    with pytest.raises(PolicyError, match=why):
        prune.to_policy(net)
