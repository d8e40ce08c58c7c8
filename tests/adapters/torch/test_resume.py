"""Checkpoints: torch.save, safetensors, SIGKILL and resume."""

from __future__ import annotations

import copy
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import secateur
from secateur.errors import ScheduleWarning, StateError

CHILD = Path(__file__).with_name("resume_child.py")
OFTEN = (1, 2, 4, 5, 8, 11, 12, 17, 20, 24)
STEPS = [
    step if step in OFTEN else pytest.param(step, marks=pytest.mark.thorough)
    for step in range(1, 25)
]


@pytest.fixture(scope="module")
def run_child(fork_server):
    return lambda checkpoint, die_before=0: fork_server.run(CHILD, checkpoint, die_before)


@pytest.fixture(scope="module")
def uninterrupted(run_child, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "whole.pt"
    done = run_child(path)
    assert done.returncode == 0, done.output
    return torch.load(path, weights_only=True)


def flat(state, prefix=""):
    items = state.items() if isinstance(state, dict) else enumerate(state)
    for key, value in items:
        if isinstance(value, dict | list):
            yield from flat(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


@pytest.mark.slow
@pytest.mark.xdist_group("torch ranks")
@pytest.mark.parametrize("step", STEPS)
def test_a_run_killed_at_any_step_and_resumed_ends_like_one_that_was_not(
    step, run_child, uninterrupted, tmp_path
):
    path = tmp_path / "killed.pt"
    assert run_child(path, die_before=step).returncode == -signal.SIGKILL
    resumed = run_child(path)
    assert resumed.returncode == 0, resumed.output
    expected = dict(flat(uninterrupted))
    found = dict(flat(torch.load(path, weights_only=True)))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        same = torch.equal(found[key], value) if torch.is_tensor(value) else found[key] == value
        assert same, key


@pytest.fixture
def trained(small, batches, train, polynomial):
    optimizer = torch.optim.Adam(small.parameters())
    pruner = secateur.attach(small, polynomial(0.8, 6, frequency=2), optimizer=optimizer)
    train(small, optimizer, batches(4))
    return pruner


def through_torch(state, path):
    torch.save(state, path)
    return torch.load(path, weights_only=True)


def through_safetensors(state, path):
    save_file(state, path)
    return load_file(path)


@pytest.mark.parametrize("through", [through_torch, through_safetensors])
def test_the_state_goes_through(through, trained, small, polynomial, tmp_path):
    state = through(trained.state_dict(), tmp_path / "state")
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    again = secateur.attach(copy.deepcopy(small), polynomial(0.8, 6, frequency=2))
    again.load_state_dict(state)
    assert again.current_step == 4
    for name, mask in trained.masks.items():
        np.testing.assert_array_equal(again.masks[name], mask)


def test_masks_in_the_state_take_one_bit_a_weight(trained):
    size = sum(value.nbytes for key, value in trained.state_dict().items() if "mask" in key)
    assert size == 9 + 1044 + 37  # bytes of 72 + 8352 + 290 bits


def test_loading_a_state_masks_dense_weights_at_once(trained, small, polynomial, assert_masked):
    state = trained.state_dict()
    with pytest.warns(ScheduleWarning, match="its final sparsity is 0.8"):
        trained.detach()
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.fill_(1.0)
    again = secateur.attach(small, polynomial(0.8, 6, frequency=2))
    again.load_state_dict(state)
    assert_masked(small, again)
    assert small.head.weight.count_nonzero() == trained.masks["head:kernel"].sum()


def test_a_plain_checkpoint_of_the_model_has_the_keys_of_the_dense_one(trained, small, tmp_path):
    torch.save(small.state_dict(), tmp_path / "model.pt")
    plain = type(small)()
    plain.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True), strict=True)
    assert (plain.head.weight == 0).sum() == (~trained.masks["head:kernel"]).sum()


def test_a_state_of_another_model_is_refused_and_nothing_changes(trained, polynomial):
    other = torch.nn.Linear(3, 3)
    before = other.weight.clone()
    pruner = secateur.attach(other, polynomial(0.8, 6, frequency=2))
    with pytest.raises(StateError, match="conv:kernel"):
        pruner.load_state_dict(trained.state_dict())
    assert torch.equal(other.weight, before)
    assert pruner.current_step == 0


def test_the_state_has_the_same_keys_and_lengths_before_pruning_begins(small, polynomial):
    policy = polynomial(0.8, 9)
    policy["schedule"]["begin_step"] = 3
    pruner = secateur.attach(small, policy)
    begun = {}
    for step in (1, 5):
        while pruner.current_step < step:
            pruner.step()
        state = pruner.state_dict()
        begun[step] = {key: (value.shape, value.dtype) for key, value in state.items()}
        again = secateur.attach(copy.deepcopy(small), policy)
        again.load_state_dict(state)
        assert set(again.masks) == set(pruner.masks)
    assert begun[1] == begun[5]
    assert not dict(secateur.attach(copy.deepcopy(small), policy).masks)
