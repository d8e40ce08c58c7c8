"""The Keras suite runs on one backend a process: the one that KERAS_BACKEND names."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contextlib

with contextlib.suppress(ImportError):
    import torch  # noqa: F401  torch must come before TensorFlow in one process

import keras
import pytest


def pytest_configure(config):
    # Keras itself: numpy 2 warns of the __array__ of its variables.
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept:DeprecationWarning"
    )


@pytest.fixture(autouse=True)
def _fresh_keras():
    """Give every test the same automatic layer names and the same random numbers."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)


@pytest.fixture
def backend() -> str:
    return keras.backend.backend()
