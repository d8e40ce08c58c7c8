"""The Keras suites on the other backends, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

HERE = Path(__file__).parent
OTHERS = sorted({"tensorflow", "jax", "torch"} - {keras.backend.backend()})
SUITES = {"contract": HERE / "test_keras.py", "adapter": HERE.parent / "keras"}


@pytest.mark.slow
@pytest.mark.parametrize("backend", OTHERS)
@pytest.mark.parametrize("suite", SUITES)
def test_the_keras_adapter_passes_its_suites_on(suite, backend):
    command = [sys.executable, "-m", "pytest", str(SUITES[suite]), "-q", "-p", "no:cacheprovider"]
    if suite == "adapter":
        command += ["-m", "not slow"]  # real processes and distributions: their own backend's
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=1800,
        env=os.environ | {"KERAS_BACKEND": backend},
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout
