"""Training on several devices and in several processes: equal masks everywhere."""

import importlib.util
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

CHILD = Path(__file__).with_name("distributed_child.py")
pytestmark = pytest.mark.slow


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, str(CHILD), *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )


def outcome(process, path):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return dict(np.load(path))


def replicas(found):
    numbers = sorted({key.split("/")[1] for key in found if key.startswith("weight/")})
    return [
        {key.split("/", 2)[2]: v for key, v in found.items() if key.startswith(f"weight/{n}/")}
        for n in numbers
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "out.npz"
    return outcome(start("alone", path), path)


def assert_like_one_device(found, alone):
    assert found["step"] == alone["step"] == 12
    assert found["sparsity"] == alone["sparsity"] > 0.88
    # Gradients are summed in another order than on one device, so a tie may break otherwise.
    for key in (key for key in alone if key.startswith("mask/")):
        assert (found[key] == alone[key]).mean() > 0.99
    (memory,) = (key for key in alone if key.startswith("memory/"))
    np.testing.assert_allclose(found[memory], alone[memory], rtol=0.01, atol=1e-5)


def test_mirrored_strategy_masks_every_replica(alone, tmp_path):
    found = outcome(start("mirrored", tmp_path / "out.npz"), tmp_path / "out.npz")
    first, second = replicas(found)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert_like_one_device(found, alone)


def test_two_workers_have_equal_masks(alone, tmp_path):
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            ports.append(probe.getsockname()[1])
    paths = [tmp_path / f"{rank}.npz" for rank in range(2)]
    workers = [start("workers", path, rank, *ports) for rank, path in enumerate(paths)]
    one, two = (outcome(worker, path) for worker, path in zip(workers, paths, strict=True))
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[key], two[key]) for key in one)
    assert_like_one_device(one, alone)


if importlib.util.find_spec("jax"):

    def test_data_parallel_masks_every_device(tmp_path):
        found = outcome(start("data_parallel", tmp_path / "out.npz"), tmp_path / "out.npz")
        first, second = replicas(found)
        assert all(np.array_equal(first[name], second[name]) for name in first)
        assert found["step"] == 12
        assert found["sparsity"] > 0.88
