"""Ctrl-C at any line of the adapter leaves no hook behind, and one state."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import secateur
import secateur_torch

ADAPTER = str(Path(secateur_torch.__file__).parent)
POLICY = {
    "schedule": {"kind": "linear", "final_sparsity": 0.8, "end_step": 4, "frequency": 1},
    "rules": [{"match": {"name": "0:*"}}, {"match": {}, "distribution": "global"}],
}


class Interrupts:
    """Raises KeyboardInterrupt at the n-th new line that runs in the adapter."""

    def __init__(self, wanted=None):
        self.wanted, self.lines = wanted, set()

    def __call__(self, frame, event, arg):
        if not frame.f_code.co_filename.startswith(ADAPTER):
            return None
        if event == "line":
            line = (frame.f_code.co_filename, frame.f_lineno)
            if line not in self.lines:
                self.lines.add(line)
                if len(self.lines) == self.wanted:
                    sys.settrace(None)
                    raise KeyboardInterrupt(f"{line[0]}:{line[1]}")
        return self

    def during(self, act):
        before = sys.gettrace()
        sys.settrace(self)
        try:
            act()
        finally:
            sys.settrace(before)


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


def each_interrupted(prepare, act):
    """Yield what was prepared, after the action was interrupted at each of its lines in turn."""
    act(*prepare())  # what is loaded and compiled on first use does not count
    things, counter = prepare(), Interrupts()
    counter.during(lambda: act(*things))
    interrupted = 0
    for wanted in range(1, len(counter.lines) + 1):
        things = prepare()
        try:
            Interrupts(wanted).during(lambda things=things: act(*things))
        except KeyboardInterrupt:
            interrupted += 1
            yield things
    assert interrupted > 0.9 * len(counter.lines)


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
