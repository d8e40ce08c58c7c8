"""Tests that need the converters and runtimes of `make exports`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

NEEDED = ("torch", "tensorflow", "litert_torch", "ai_edge_litert", "onnxruntime", "openvino")


def pytest_collection_modifyitems() -> None:
    """Fail, and do not skip, where the environment is another one."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        pytest.exit(f"no {', '.join(missing)} here: these tests are run by `make exports`", 1)


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Outcome]:
    """Run a command line in the test's folder."""
    from secateur.cli import main

    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["secateur", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main()
        out, err = capsys.readouterr()
        return Outcome(int(exited.value.code or 0), out, err)

    return command
