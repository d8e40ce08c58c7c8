"""What optimizers keep of weights that come back is cleared, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import secateur

SCHEDULE = {"kind": "ac_dc", "final_sparsity": 0.5, "begin_step": 1, "end_step": 9, "frequency": 2}
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, 0.01, amsgrad=True),
    "fused adamw": lambda p: torch.optim.AdamW(p, 0.01, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
    "adafactor": lambda p: torch.optim.Adafactor(p, 0.01),
    "rprop": lambda p: torch.optim.Rprop(p, 0.01),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.01, initial_accumulator_value=0.5),
    "lbfgs": lambda p: torch.optim.LBFGS(p, 0.01, max_iter=2),
}


BEGIN_WITH = {"rprop": 0.01, "adagrad": 0.5}
"""What optimizers begin with in a moment that is not zero."""


def train(model, optimizer, x, steps):
    def closure():
        optimizer.zero_grad()
        loss = model(x, x, x)[0].square().mean()
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_moments_of_what_comes_back_are_cleared(name):
    torch.manual_seed(0)
    model = nn.MultiheadAttention(8, 2, bias=False, batch_first=True)  # one parameter, 3 weights
    optimizer = OPTIMIZERS[name](model.parameters())
    match = {"role": ["query", "value"]}
    pruner = secateur.attach(
        model, {"schedule": SCHEDULE, "rules": [{"match": match}]}, optimizer=optimizer
    )
    train(model, optimizer, torch.randn(4, 5, 8), 3)
    weights = {
        spec.role: mask
        for spec, mask in zip(
            [planned.spec for planned in pruner.plan.weights if planned.pruned],
            pruner.revived.values(),
            strict=True,
        )
    }
    assert {role: int(mask.sum()) for role, mask in weights.items()} == {"query": 32, "value": 32}
    back = torch.from_numpy(
        np.concatenate([weights["query"], np.zeros((8, 8), bool), weights["value"]])
    )
    parameter = model.in_proj_weight
    assert not parameter[back].any()
    moments = [
        each
        for each in optimizer.state[parameter].values()
        if isinstance(each, torch.Tensor) and each.shape == parameter.shape
    ]
    assert bool(moments) != (name in ("adafactor", "lbfgs"))
    for moment in moments:
        first = np.float32(BEGIN_WITH.get(name, 0.0))
        assert not moment[back].any() or bool((moment[back] == first).all())
        assert moment[~back].all() or name == "rprop"  # which has zeros where signs change
    assert any(moment[back].any() for moment in moments) == (name in BEGIN_WITH)


def test_a_loop_whose_optimizer_is_not_known_is_warned_once_and_can_clear_them_itself():
    model = nn.Linear(8, 8, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    pruner = secateur.attach(model, {"schedule": SCHEDULE})
    for step in range(1, 8):
        optimizer.zero_grad()
        model(torch.randn(4, 8)).square().mean().backward()
        optimizer.step()
        if step == 3:
            with pytest.warns(secateur.StateWarning, match="pass optimizer="):
                pruner.step()
        else:
            pruner.step()
        for mask in pruner.revived.values():
            back = torch.from_numpy(np.array(mask))
            assert step in (3, 7)
            assert optimizer.state[model.weight]["momentum_buffer"][back].all()
