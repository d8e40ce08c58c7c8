"""FSDP2 and tensor parallel shards: the masks of one process, and no weight is gathered."""

from __future__ import annotations

import json
import runpy
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp

import secateur

HERE = Path(__file__).parent
POLICIES = runpy.run_path(str(HERE / "sharded_networks.py"))["POLICIES"]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("torch ranks")]


@pytest.mark.parametrize(
    ("way", "count"),
    [("fsdp", 2), ("fsdp", 3), ("tensor", 2), ("tensor", 3), ("both", 4), ("hybrid", 4)],
)
def test_masks_of_shards_are_those_of_one_process(way, count, ranks):
    ranks(count, "masks_child.py", way)


@pytest.fixture(scope="module")
def run(ranks, tmp_path_factory):
    """Train on two ranks; return the folder of what they saved."""
    folder = tmp_path_factory.mktemp("fsdp")
    ranks(2, "fsdp_child.py", folder)
    return folder


@pytest.fixture
def alone(monkeypatch):
    """Return the network and the training loop of those ranks, for one process."""
    monkeypatch.syspath_prepend(str(HERE))
    import fsdp_child
    import sharded_networks

    return sharded_networks.network(), fsdp_child


def assert_equal_states(first, second, tolerance=0.0):
    """Fail unless two states are equal; what criteria keep of gradients, to a tolerance."""
    with np.load(first) as one, np.load(second) as other:
        assert set(one) == set(other)
        assert any(key.startswith("memory/") for key in one)
        for key in one:
            if tolerance and key.startswith("memory/"):
                np.testing.assert_allclose(one[key], other[key], rtol=tolerance, atol=1e-7)
            else:
                np.testing.assert_array_equal(one[key], other[key], key)


def test_two_ranks_train_to_the_weights_and_masks_of_one(run, alone, tmp_path):
    model, child = alone
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    pruner = secateur.attach(model, child.POLICY, optimizer=optimizer)
    child.train(model, pruner, optimizer)
    pruner.save(tmp_path / "alone.npz")
    assert_equal_states(run / "state.npz", tmp_path / "alone.npz", tolerance=1e-3)
    trained = torch.load(run / "weights.pt", weights_only=True)
    for name, value in model.named_parameters():
        torch.testing.assert_close(trained[name], value.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [1, 3])
def test_a_sharded_run_goes_on_with_another_number_of_ranks(count, run, ranks):
    ranks(count, "fsdp_load_child.py", run)
    saved = torch.load(run / "weights.pt", weights_only=True)
    for way in (0, 1):  # from the distributed checkpoint, and from the file
        assert_equal_states(run / "state.npz", run / f"again-{count}-{way}.npz")
        loaded = torch.load(run / f"weights-{count}-{way}.pt", weights_only=True)
        for name, value in saved.items():
            assert torch.equal(loaded[name], value), name


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
def test_a_sharded_run_goes_on_in_one_plain_process(run, alone, tmp_path):
    model, child = alone
    for number in range(2):
        pruner = secateur.attach(model, child.POLICY)
        if number:
            pruner.load(run / "state.npz")
        else:
            dcp.load({"pruner": pruner}, checkpoint_id=run / "checkpoint", no_dist=True)
        assert pruner.current_step == 8
        pruner.save(tmp_path / "plain.npz")
        assert_equal_states(run / "state.npz", tmp_path / "plain.npz")
        pruner.detach()


SELDOM = (
    *("blocks, uniform", "channels out", "threshold"),
    *("equal weights", "few values", "bfloat16"),
)
OFTEN = (*(name for name in POLICIES if name not in SELDOM), "long channels", "tall embedding")
MEMORY = [*OFTEN, *(pytest.param(name, marks=pytest.mark.thorough) for name in SELDOM)]


@pytest.fixture(scope="module")
def costs(request, ranks, tmp_path_factory):
    """Return, by rank and policy, what pruning a large sharded matrix took."""
    folder = tmp_path_factory.mktemp("memory")
    names = (*OFTEN, *SELDOM) if request.config.getoption("--thorough") else OFTEN
    ranks(2, "memory_child.py", folder, *names)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("what", MEMORY)
def test_pruning_shards_needs_less_memory_than_a_shard(what, costs):
    for rank in costs:
        assert rank["pruning"][what] < 1


@pytest.mark.parametrize("policy", POLICIES)
def test_pruning_shards_gathers_nothing(policy, costs):
    for rank in costs:
        assert set(rank["calls"][policy]) <= {"gloo:all_reduce", "gloo:all_to_all"}


@pytest.mark.parametrize("what", ["state_dict", "save", "load", "load_state_dict"])
def test_states_of_shards_need_less_memory_than_a_shard(what, costs):
    for rank in costs:
        assert rank["state"][what] < 0.75


@pytest.mark.parametrize(
    "policy", ["unstructured, global", "unstructured, erk", "blocks, global", "2:4"]
)
def test_pruning_shards_sends_counts_only(policy, costs):
    for rank in costs:
        assert set(rank["calls"][policy]) == {"gloo:all_reduce"}
        assert len(rank["calls"][policy]) < 12


def test_a_rank_that_dies_leaves_the_others_with_an_error(ranks):
    done = ranks(3, "dying_child.py", check=False)
    assert done[2].returncode == -signal.SIGKILL
    for rank in done[:2]:
        assert rank.returncode != 0
        assert "has an error" in rank.output
