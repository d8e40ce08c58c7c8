"""The masks are those of torch.nn.utils.prune, wherever that has one answer."""

from __future__ import annotations

import copy
import random

import pytest
import torch
import torch.nn.utils.prune as theirs
from torch import nn
from torch.nn import functional

import secateur_torch.compat.prune as ours

PARAMETERS = [
    *(("linear", "weight"), ("linear", "bias"), ("conv", "weight"), ("narrow", "weight")),
    *(("transposed", "weight"), ("table", "weight"), ("lstm", "weight_ih_l0")),
    *(("lstm", "weight_hh_l0"), ("attention", "in_proj_weight")),
]
AMOUNTS = [0, 1, 3, 3, 50, 0.0, 0.1, 0.25, 0.3, 0.5, 0.75, 0.9, 1.0, 0.35, 0.6, -1]
NORMS = [1, 2, 2.5, "fro", float("inf"), -float("inf")]


def network(chance):
    return nn.ModuleDict(
        {
            "linear": nn.Linear(chance.randint(1, 9), chance.randint(1, 9)),
            "conv": nn.Conv2d(4, 6, 3, groups=chance.choice([1, 2])),
            "narrow": nn.Conv1d(3, 5, 2),
            "transposed": nn.ConvTranspose2d(3, 4, 2),
            "table": nn.Embedding(7, 5),
            "lstm": nn.LSTM(3, 4),
            "attention": nn.MultiheadAttention(4, 2),
        }
    )


def classes(lib):
    """Return pruning methods of a user, one for each PRUNING_TYPE."""

    class EveryThird(lib.BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def compute_mask(self, t, default_mask):
            mask = default_mask.clone()
            mask.view(-1)[::3] = 0
            return mask

    class FirstChannel(lib.BasePruningMethod):
        PRUNING_TYPE = "structured"

        def __init__(self, dim):
            self.dim = dim

        def compute_mask(self, t, default_mask):
            mask = default_mask.clone()
            mask[(*[slice(None)] * (self.dim % t.ndim), slice(0, 1))] = 0
            return mask

    class Above(lib.BasePruningMethod):
        PRUNING_TYPE = "global"

        def __init__(self, threshold):
            self.threshold = threshold

        def compute_mask(self, t, default_mask):
            return (t.abs() > self.threshold) & (default_mask == 1)

    return {"EveryThird": EveryThird, "FirstChannel": FirstChannel, "Above": Above}


def drawn_call(chance, net):
    """Return a function of the library and the network: some call, sensible or not."""
    layer, name = chance.choice(PARAMETERS)
    shape, amount = getattr(net[layer], name).shape, chance.choice(AMOUNTS)
    scores = torch.randn(shape) if chance.random() < 0.4 else None
    dim, norm = chance.randint(-3, 2), chance.choice(NORMS)
    mask = (torch.rand(shape) > 0.4).to(chance.choice([torch.bool, torch.int, torch.float]))
    several = chance.sample(PARAMETERS, chance.randint(1, 4))
    method = chance.choice(
        ["L1Unstructured", "L1Unstructured", "RandomUnstructured", "LnStructured"]
    )
    some = {several[0]: torch.randn(getattr(net[several[0][0]], several[0][1]).shape)}

    def globally(lib, net):
        lib.global_unstructured(
            [(net[a], b) for a, b in several],
            getattr(lib, method),
            importance_scores={(net[a], b): s for (a, b), s in some.items()}
            if scores is not None
            else None,
            amount=amount,
        )

    calls = {
        "l1": lambda lib, net: lib.l1_unstructured(net[layer], name, amount, scores),
        "random": lambda lib, net: lib.random_unstructured(net[layer], name, amount),
        "ln": lambda lib, net: lib.ln_structured(net[layer], name, amount, norm, dim, scores),
        "channels": lambda lib, net: lib.random_structured(net[layer], name, amount, dim),
        "identity": lambda lib, net: lib.identity(net[layer], name),
        "mask": lambda lib, net: lib.custom_from_mask(net[layer], name, mask),
        "wrong mask": lambda lib, net: lib.custom_from_mask(net[layer], name, torch.ones(2)),
        "own": lambda lib, net: classes(lib)["EveryThird"].apply(net[layer], name),
        "own channels": lambda lib, net: classes(lib)["FirstChannel"].apply(net[layer], name, dim),
        "own threshold": lambda lib, net: classes(lib)["Above"].apply(
            net[layer], name, threshold=0.2
        ),
        "global": globally,
        "remove": lambda lib, net: lib.remove(net[layer], name),
    }
    weights = [4, 2, 4, 2, 1, 2, 0.3, 1, 1, 1, 4, 1]
    return chance.choices(list(calls.items()), weights)[0]


def outcome(call, lib, net, seed):
    """Return the class of the error of a call, or None."""
    torch.manual_seed(seed)
    try:
        call(lib, net)
    except Exception as error:
        return type(error)
    return None


def pruned(net, lib):
    """Return of every parameter its mask, its values and the classes of its hooks."""
    found = {}
    for layer, name in PARAMETERS:
        module = net[layer]
        mask, values = getattr(module, f"{name}_mask", None), getattr(module, name)
        if lib is theirs and mask is not None:
            values = getattr(module, f"{name}_orig") * mask
        hooks = [
            type(h).__name__ for h in module._forward_pre_hooks.values() if h._tensor_name == name
        ]
        found[layer, name] = [mask, values.detach(), hooks]
    return found


def test_any_sequence_of_calls_makes_the_masks_of_the_original() -> None:
    compared = 0
    for seed in range(100):
        chance = random.Random(seed)  # noqa: S311 - of calls
        torch.manual_seed(seed)
        mine = network(chance)
        twin = copy.deepcopy(mine)
        for turn in range(chance.randint(1, 5)):
            what, call = drawn_call(chance, mine)
            error = outcome(call, ours, mine, turn)
            assert error == outcome(call, theirs, twin, turn), (seed, turn, what)
            if error:
                break  # the original may have lost its hooks
            left, right = pruned(mine, ours), pruned(twin, theirs)
            for key, (mask, values, hooks) in left.items():
                their_mask, their_values, their_hooks = right[key]
                assert hooks == their_hooks, (seed, turn, what, key)
                assert torch.equal(values, their_values), (seed, turn, what, key)
                assert mask is their_mask or torch.equal(mask.float(), their_mask.float())
            compared += 1
    assert compared > 150


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_what_is_kept_trains_to_the_same_bits(optimizer) -> None:
    data = [(torch.randn(8, 6), torch.randint(0, 3, (8,))) for _ in range(12)]
    start = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    options = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
    found = []
    for lib in (ours, theirs):
        net = copy.deepcopy(start)
        updates = optimizer(net.parameters(), 0.05, weight_decay=0.01, **options)
        for _ in range(3):
            lib.l1_unstructured(net[0], "weight", 0.3)
            lib.ln_structured(net[2], "weight", 2, n=2, dim=1)
            for x, y in data:
                updates.zero_grad()
                functional.cross_entropy(net(x), y).backward()
                updates.step()
            net(data[0][0])  # the original recomputes its weights only here
        found.append([net[0].weight.detach(), net[2].weight.detach(), net[0].bias.detach()])
    assert all(torch.equal(mine, original) for mine, original in zip(*found, strict=True))
