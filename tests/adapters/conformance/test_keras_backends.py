"""The Keras suites on the other backends, each backend in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

HERE = Path(__file__).parent
OTHERS = sorted({"tensorflow", "jax", "torch"} - {keras.backend.backend()})
SUITES = (HERE / "test_keras.py", HERE.parent / "keras")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("backend", OTHERS)
def test_the_keras_adapter_passes_its_suites_on(backend, request):
    command = [sys.executable, "-m", "pytest", *map(str, SUITES), "-q", "-p", "no:cacheprovider"]
    command += ["-m", "not slow"]  # real processes and distributions: their own backend's
    environment = os.environ | {"KERAS_BACKEND": backend}
    if request.config.getoption("--thorough"):
        command += ["--thorough"]
    else:
        command += ["--all"]
        environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # those of machine code, not of HLO
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout
