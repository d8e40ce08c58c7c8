"""The command line as a user meets it: arguments in, text and an exit code out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.command_line import run as run


def pytest_configure(config):
    # Keras itself, where a test saves a model: numpy 2 warns of the __array__ of its variables.
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept:DeprecationWarning"
    )


HALF = '[schedule]\nkind = "one_shot"\nfinal_sparsity = 0.5\n'


@pytest.fixture
def half(tmp_path: Path) -> Path:
    path = tmp_path / "half.toml"
    path.write_text(HALF)
    return path


@pytest.fixture
def tensors() -> Callable[[], dict[str, np.ndarray]]:
    return _tensors


def _tensors() -> dict[str, np.ndarray]:
    """Return the state dict of a small convolutional network, as PyTorch names it."""
    random = np.random.default_rng(0)
    return {
        "conv.weight": random.normal(size=(8, 3, 3, 3)).astype(np.float32),
        "conv.bias": np.ones(8, np.float32),
        "norm.weight": np.ones(8, np.float32),
        "norm.num_batches_tracked": np.array(3),
        "embed.weight": random.normal(size=(10, 4)).astype(np.float16),
        "fc.weight": random.normal(size=(4, 72)).astype(np.float32),
    }


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    path = tmp_path / "model.npz"
    np.savez(path, **_tensors())
    return path


@pytest.fixture
def safetensors(tmp_path: Path) -> Path:
    from safetensors.numpy import save_file

    path = tmp_path / "model.safetensors"
    save_file(_tensors(), path, {"format": "pt"})
    return path
