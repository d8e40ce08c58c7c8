"""Masks, schedules and choices of layers are those of the toolkit itself, wherever it has some."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import pytest

import secateur
import secateur_keras.tfmot as tfmot

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from cases import SCHEDULES, STEPS, cases, networks  # noqa: E402

toolkit = tfmot.sparsity.keras


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Return the toolkit's answers by name; it is installed by `make tfmot`."""
    folder = Path(os.environ.get("TFMOT_FOLDER", HERE.parents[1] / ".venv-tfmot"))
    assert (folder / "tensorflow_model_optimization").is_dir(), f"make tfmot installs {folder}"
    path = tmp_path_factory.mktemp("tfmot") / "answers.npz"
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{HERE}"}
    done = subprocess.run(
        [sys.executable, HERE / "reference.py", path],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(path)


def test_schedules_say_the_same_at_every_step(original):
    for number, (name, arguments) in enumerate(SCHEDULES):
        cls = getattr(toolkit, name)
        schedule = cls(**arguments) if isinstance(arguments, dict) else cls(*arguments)
        due, sparsity = schedule(np.arange(STEPS))
        assert (keras.ops.convert_to_numpy(due) == original[f"due {number}"]).all(), number
        found = keras.ops.convert_to_numpy(sparsity)
        assert np.allclose(found, original[f"sparsity {number}"], rtol=0, atol=2e-7), number


def _layer(name, kernels):
    """Return a layer of Keras 3 and the variables of its kernels, in the toolkit's order."""
    shapes = [kernel.shape for kernel in kernels]
    out = shapes[0][-1]
    sizes = {
        "Conv2DTranspose": shapes[0][-2],
        "Embedding": out,
        "SimpleRNN": out,
        "LSTM": out // 4,
        "GRU": out // 3,
    }
    cls, units = getattr(keras.layers, name), sizes.get(name, out)
    if name == "MultiHeadAttention":
        layer = cls(shapes[0][1], shapes[0][2])
        layer.build((1, 4, shapes[0][0]), (1, 4, shapes[0][0]))
        parts = ("query", "key", "value", "output")
        return layer, [getattr(layer, f"_{part}_dense").kernel for part in parts]
    if name == "Embedding":
        layer = cls(*shapes[0])
        layer.build((1, 4))
        return layer, [layer.embeddings]
    if name in ("SimpleRNN", "LSTM", "GRU"):
        layer = cls(units)
        layer.build((1, 4, shapes[0][0]))
        return layer, [layer.cell.kernel, layer.cell.recurrent_kernel]
    if name == "Dense":
        layer = cls(units)
        layer.build((1, shapes[0][0]))
        return layer, [layer.kernel]
    inputs = shapes[0][-1] if name == "Conv2DTranspose" else shapes[0][-2]
    layer = cls(units, shapes[0][:-2])
    layer.build((1, *[8] * (len(shapes[0]) - 2), inputs))
    return layer, [layer.pointwise_kernel if name == "SeparableConv2D" else layer.kernel]


def test_masks_are_the_same_bit_for_bit(original):
    compared = 0
    for name, kind, kernels, settings in cases():
        layer, variables = _layer(kind, kernels)
        for variable, kernel in zip(variables, kernels, strict=True):
            variable.assign(kernel)
        options = dict(settings)
        schedule = toolkit.ConstantSparsity(options.pop("sparsity"), 0)
        toolkit.prune_low_magnitude(layer, schedule, **options)
        secateur.prune(layer, tfmot.to_policy(layer))
        for number, variable in enumerate(variables):
            kept = keras.ops.convert_to_numpy(variable) != 0
            assert (kept == original[f"mask {name} {number}"]).all(), (name, number)
            compared += 1
    assert compared > 150


def test_the_same_models_are_taken_for_xnnpack(original):
    answers = set()
    for name, model in networks(keras).items():
        try:
            toolkit.PruneForLatencyOnXNNPack().ensure_model_supports_pruning(model)
        except ValueError:
            taken = False
        else:
            taken = True
        answers.add(taken)
        assert taken == bool(original[f"xnnpack {name}"]), name
    assert answers == {True, False}
