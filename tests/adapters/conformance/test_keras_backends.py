"""The same suite on the other backends of Keras, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

OTHERS = sorted({"tensorflow", "jax", "torch"} - {keras.backend.backend()})


@pytest.mark.slow
@pytest.mark.parametrize("backend", OTHERS)
def test_the_keras_adapter_meets_the_contract_on(backend):
    suite = Path(__file__).with_name("test_keras.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(suite), "-q", "-p", "no:cacheprovider"],
        check=False,
        capture_output=True,
        text=True,
        timeout=1800,
        env=os.environ | {"KERAS_BACKEND": backend},
    )
    assert done.returncode == 0, done.stdout[-5000:]
