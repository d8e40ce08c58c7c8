"""A run that is killed before any step, and resumed, ends like one that was not."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from tests.fork_server import ForkServer

CHILD = Path(__file__).with_name("resume_child.py")
OFTEN = (1, 4, 12, 16)
STEPS = [
    step if step in OFTEN else pytest.param(step, marks=pytest.mark.thorough)
    for step in range(1, 17)
]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("flax resume")]


@pytest.fixture(scope="module")
def run_child():
    """Run the child in a fork of a process that has imported Flax already."""
    server = ForkServer(("flax.nnx", "optax", "secateur_flax.binding"), {})
    yield lambda path, die_before=0: server.run(CHILD, path, die_before)
    server.close()


def arrays(path):
    with np.load(path) as saved:
        return dict(saved)


@pytest.fixture(scope="module")
def uninterrupted(run_child, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "run.npz"
    done = run_child(path)
    assert done.returncode == 0, done.output
    return arrays(path)


@pytest.mark.parametrize("step", STEPS)
def test_a_run_killed_at_any_step_and_resumed_ends_like_one_that_was_not(
    step, run_child, uninterrupted, tmp_path
):
    path = tmp_path / "run.npz"
    assert run_child(path, die_before=step).returncode == -signal.SIGKILL
    resumed = run_child(path)
    assert resumed.returncode == 0, resumed.output
    found = arrays(path)
    assert found.keys() == uninterrupted.keys()
    for key, value in uninterrupted.items():
        assert found[key].tobytes() == value.tobytes(), key
