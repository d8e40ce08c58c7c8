"""Ctrl-C at any line of the adapter leaves no hook behind, and one state."""

from __future__ import annotations

import warnings
from functools import partial

import pytest
import torch
from torch import nn

import secateur
import secateur_torch
from tests import interrupts

POLICY = {
    "schedule": {"kind": "linear", "final_sparsity": 0.8, "end_step": 4, "frequency": 1},
    "rules": [{"match": {"name": "0:*"}}, {"match": {}, "distribution": "global"}],
}


each_interrupted = partial(interrupts.each_interrupted, secateur_torch)


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.MultiheadAttention(6, 2), nn.Linear(6, 3))
    first, second = model[:2].parameters(), model[2].parameters()
    return model, [torch.optim.SGD(first, 0.1, momentum=0.9), torch.optim.SGD(second, 0.1)]


def attached():
    model, optimizers = network()
    pruner = secateur.attach(model, POLICY, optimizer=optimizers)
    update(model, optimizers)
    return model, optimizers, pruner


def update(model, optimizers):
    for optimizer in optimizers:
        optimizer.zero_grad()
    x = model[0](torch.ones(2, 4))
    model[2](model[1](x, x, x)[0]).square().sum().backward()
    for optimizer in optimizers:
        optimizer.step()


def hooks(optimizers):
    return [len(optimizer._optimizer_step_post_hooks) for optimizer in optimizers]


def assert_masked(model, pruner):
    for weight in pruner._binding.binding.weights:
        mask = pruner.masks[weight.spec.name]
        assert not weight.read()[~mask].any(), weight.spec.name


@pytest.mark.slow
def test_after_an_interrupted_attach_there_is_no_hook_and_it_can_be_tried_again():
    def attach(model, optimizers):
        secateur.attach(model, POLICY, optimizer=optimizers)

    for model, optimizers in each_interrupted(network, attach):
        assert hooks(optimizers) == [0, 0]
        pruner = secateur.attach(model, POLICY, optimizer=optimizers)
        update(model, optimizers)
        assert_masked(model, pruner)
        assert pruner.current_step == 1


@pytest.mark.slow
def test_after_an_interrupted_update_the_run_ends_as_it_should():
    def step(model, optimizers, pruner):
        update(model, optimizers)

    for model, optimizers, pruner in each_interrupted(attached, step):
        while pruner.current_step < 4:
            update(model, optimizers)
        pruner.step(0)
        assert_masked(model, pruner)
        assert pruner.report().sparsity == pytest.approx(0.8, abs=0.01)
        assert not pruner.report().notes


@pytest.mark.slow
def test_after_an_interrupted_detach_nothing_is_hooked():
    def detach(model, optimizers, pruner):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pruner.detach()

    for model, optimizers, pruner in each_interrupted(attached, detach):
        assert hooks(optimizers) == [0, 0]
        detach(model, optimizers, pruner)
        secateur.attach(model, POLICY, optimizer=optimizers)
