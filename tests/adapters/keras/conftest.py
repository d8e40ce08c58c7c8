"""The Keras suite runs on one backend a process: the one that KERAS_BACKEND names."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contextlib

with contextlib.suppress(ImportError):
    import torch  # noqa: F401  torch must come before TensorFlow in one process

import keras
import numpy as np
import pytest
from keras import layers

from secateur_keras import in_place

collect_ignore = [] if keras.backend.backend() == "tensorflow" else ["test_in_place.py"]


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


@pytest.fixture(autouse=True)
def _both_ways_of_masking(monkeypatch):
    """Mask the larger weights of the small networks of these tests in place, others by a copy."""
    monkeypatch.setattr(in_place, "LARGE", 500)


def _network():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(6, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(16, activation="relu", name="hidden"),
            layers.Dense(3, name="out"),
        ]
    )


def _data(count=64):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 8, 8, 1)).astype("float32"), rng.integers(0, 3, count)


def _compile(model, optimizer="adam", **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, **options)


def numbers(variable):
    """The values of a Keras variable, on any backend."""
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable)))


class Watch(keras.callbacks.Callback):
    """After each batch: W == W*M bit for bit, with no -0.0, whatever compiled the step."""

    async_safe = True  # changes no weight, so that nothing but the update masks them

    def __init__(self, pruner):
        super().__init__()
        self.pruner, self.sparsities, self.steps = pruner, [], []

    def on_train_batch_end(self, batch, logs=None):
        assert self.model is not None  # brings the variables up to date on JAX
        assert_held(self.pruner)
        self.sparsities.append(self.pruner.report().sparsity)
        self.steps.append(self.pruner.current_step)


def assert_held(pruner):
    weights = {weight.spec.name: weight for weight in pruner._binding.binding.weights}
    for name, mask in pruner.masks.items():
        pruned = weights[name].read()[~mask]
        assert not pruned.view(f"uint{8 * pruned.itemsize}").any(), name


def _fit(model, pruner, batches=16, batch_size=4, **options):
    watch = Watch(pruner)
    callbacks = [pruner.callback(), watch]
    model.fit(
        *_data(batches * batch_size),
        batch_size=batch_size,
        verbose=0,
        shuffle=False,
        callbacks=callbacks,
        **options,
    )
    return watch


@pytest.fixture
def network():
    """Build a small network: a convolution and two dense layers."""
    return _network


@pytest.fixture
def data():
    """Make images and labels."""
    return _data


@pytest.fixture
def compile_():
    """Compile a classifier."""
    return _compile


@pytest.fixture
def fit():
    """Train under a pruner, checking the weights after each batch."""
    return _fit


@pytest.fixture
def held():
    """Assert that every pruned weight is +0.0 now."""
    return assert_held
