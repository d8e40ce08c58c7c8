"""The command line as a user meets it: arguments in, text and an exit code out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secateur.cli import main


def pytest_configure(config):
    # Keras itself, where a test saves a model: numpy 2 warns of the __array__ of its variables.
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept:DeprecationWarning"
    )


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch, tmp_path) -> Callable[..., Outcome]:
    monkeypatch.chdir(tmp_path)

    def command(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["secateur", *map(str, words)])
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        return Outcome(int(exit_.value.code or 0), captured.out, captured.err)

    return command


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
