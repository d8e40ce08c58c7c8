"""Policies and states of the first release are read, and resumed runs end as they did then."""

from __future__ import annotations

import pytest

import secateur
from tests.nets import kept_runs
from tests.nets.kept_runs import ArrayNetwork, TorchNetwork


@pytest.mark.parametrize("name", kept_runs.POLICIES)
def test_a_kept_policy_has_the_fingerprint_of_its_time(name: str) -> None:
    policy = secateur.Policy.load(kept_runs.FOLDER / name)
    assert policy.fingerprint == kept_runs.record()["policies"][name]
    assert secateur.Policy.parse(policy.to_dict()) == policy


@pytest.mark.parametrize("framework", ["array", "torch", "keras"])
def test_a_kept_state_of_each_framework_is_resumed_and_ends_as_it_did(framework: str) -> None:
    state = kept_runs.FOLDER / f"{framework}.npz"
    assert kept_runs.resumed(ArrayNetwork(), state) == kept_runs.record()["end"]


@pytest.mark.framework
def test_a_kept_checkpoint_of_torch_is_resumed_in_torch() -> None:
    import torch

    state = torch.load(kept_runs.FOLDER / "torch.pt", weights_only=True)
    assert kept_runs.resumed(TorchNetwork(), state) == kept_runs.record()["end"]


def test_a_run_of_now_ends_as_one_of_then() -> None:
    network = ArrayNetwork()
    pruner = kept_runs.attach(network)
    kept_runs.train(network, pruner, kept_runs.TOTAL)
    assert kept_runs.digest(network, pruner) == kept_runs.record()["end"]
