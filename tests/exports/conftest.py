"""Tests that need the converters and runtimes of `make exports`."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from tests.command_line import run as run

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

NEEDED = ("torch", "tensorflow", "litert_torch", "ai_edge_litert", "onnxruntime", "openvino")


def pytest_collection_modifyitems() -> None:
    """Fail, and do not skip, where the environment is another one."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        pytest.exit(f"no {', '.join(missing)} here: these tests are run by `make exports`", 1)
