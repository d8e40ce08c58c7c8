"""What the tests of the PyTorch adapter share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from secateur_torch.binding import bind
from tests.fork_server import ForkServer

HERE = Path(__file__).parent


class Small(nn.Module):
    """A convolution, a normalisation and two dense layers: 9,000 parameters."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.hidden = nn.Linear(8 * 6 * 6, 29)
        self.head = nn.Linear(29, 10)

    def forward(self, images):
        features = torch.relu(self.norm(self.conv(images))).flatten(1)
        return self.head(torch.relu(self.hidden(features)))


@pytest.fixture
def small():
    torch.manual_seed(0)
    return Small()


@pytest.fixture
def batches():
    """Make batches of random images and labels; the same ones in every test."""
    generator = torch.Generator().manual_seed(1)

    def make(count, size=4):
        return [
            (
                torch.randn(size, 1, 8, 8, generator=generator),
                torch.randint(10, (size,), generator=generator),
            )
            for _ in range(count)
        ]

    return make


@pytest.fixture
def train():
    """Train by a plain loop."""

    def loop(model, optimizer, batches, after=lambda: None):
        for images, labels in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            after()

    return loop


@pytest.fixture
def polynomial():
    """Make a policy that prunes everything along a polynomial from step 0 on."""

    def policy(final, end, frequency=1):
        schedule = {
            "kind": "polynomial",
            "final_sparsity": final,
            "begin_step": 0,
            "end_step": end,
            "frequency": frequency,
        }
        return {"schedule": schedule}

    return policy


@pytest.fixture
def assert_masked():
    """Check that every pruned weight of a model has all bits clear."""

    def check(model, pruner):
        weights = bind(model).weights
        assert {weight.spec.name for weight in weights} >= set(pruner.masks)
        for name, mask in pruner.masks.items():
            (weight,) = (weight for weight in weights if weight.spec.name == name)
            value = weight.read()
            assert not value.view(f"u{value.itemsize}")[~mask].any(), name

    return check


PRELOADED = (
    "numpy",
    "torch",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
    "torch.distributed.tensor.parallel",
    "torch.profiler",
    "secateur_torch.binding",
)


@pytest.fixture(scope="session")
def fork_server():
    """Run scripts in processes of their own that have imported PyTorch already."""
    server = ForkServer(PRELOADED, {"OMP_NUM_THREADS": "1"})
    yield server
    server.close()


@pytest.fixture(scope="session")
def ranks(fork_server):
    """Run a script of this folder on some ranks of this machine, each a real process."""

    def run(count, script, *arguments, check=True):
        done = fork_server.run_ranks(count, HERE / script, *arguments)
        assert not check or not any(rank.returncode for rank in done), done
        return done

    return run
