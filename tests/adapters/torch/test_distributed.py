"""Data parallel training and distributed checkpoints, with real processes."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("torch ranks")]


@pytest.fixture(scope="module", params=[2, 3])
def run(request, ranks, tmp_path_factory):
    """Train dense and pruned on some ranks; return the number and the folder of results."""
    folder = tmp_path_factory.mktemp("ddp")
    for way in ("dense", "pruned"):
        ranks(request.param, "ddp_child.py", folder, way)
    return request.param, folder


def load(folder, name, rank):
    with np.load(folder / f"{name}-{rank}.npz") as arrays:
        return dict(arrays)


def test_masks_and_weights_are_equal_on_all_ranks(run):
    count, folder = run
    for name in ("masks", "pruned"):
        first = load(folder, name, 0)
        for rank in range(1, count):
            other = load(folder, name, rank)
            assert other.keys() == first.keys()
            for key, value in first.items():
                np.testing.assert_array_equal(other[key], value)
    masks = load(folder, "masks", 0)
    assert sum(int(mask.sum()) for mask in masks.values()) == 75
    for key, mask in masks.items():
        weight = load(folder, "pruned", 0)[f"module.{key.removesuffix(':kernel')}.weight"]
        assert not weight[~mask].any()


def test_pruning_adds_no_communication(run):
    _, folder = run
    calls = int(load(folder, "dense", 0)["calls"])
    assert int(load(folder, "pruned", 0)["calls"]) == calls > 0


@pytest.mark.parametrize("count", [1, 3])
def test_a_distributed_checkpoint_loads_on_another_number_of_ranks(count, run, ranks):
    _, folder = run
    ranks(count, "dcp_child.py", folder)
    masks = load(folder, "masks", 0)
    weight = load(folder, "pruned", 0)["module.0.weight"]
    for rank in range(count):
        loaded = load(folder, f"loaded-{count}", rank)
        assert loaded["step"] == 8
        np.testing.assert_array_equal(loaded["weight"], weight)
        for name, mask in masks.items():
            np.testing.assert_array_equal(loaded[name], mask)
