"""What TensorBoard's own reader finds of a run's pruning in its log folder."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import secateur
import secateur_tensorboard

GROW = {"kind": "linear", "final_sparsity": 0.75, "end_step": 4, "frequency": 2}
POLICY = {"schedule": GROW, "rules": [{"match": {"position": "last"}, "prune": False}, {}]}


def written(folder):
    """Return what TensorBoard's reader finds."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder), size_guidance={"images": 0})
    return reader.Reload()


def assert_shows_the_run(folder, pruner: secateur.Pruner, name: str, sizes: list[int]) -> None:
    reader = written(folder)
    assert sorted(reader.Tags()["scalars"]) == sorted(
        ["pruning/sparsity", "pruning/threshold"]
        + [f"pruning/{what}/{name}" for what in ("sparsity", "target", "threshold")]
    )
    found = [(event.step, event.value) for event in reader.Scalars(f"pruning/sparsity/{name}")]
    assert found == [(0, 0.0), (2, 0.375), (4, 0.75)]
    assert reader.Scalars("pruning/sparsity")[-1].value == pytest.approx(
        0.75 * sizes[0] / sum(sizes)
    )
    thresholds = [event.value for event in reader.Scalars(f"pruning/threshold/{name}")]
    assert thresholds == sorted(thresholds)
    assert [event.value for event in reader.Scalars("pruning/threshold")] == thresholds
    assert [event.step for event in reader.Images(f"pruning/mask/{name}")] == [0, 2, 4]
    last = Image.open(io.BytesIO(reader.Images(f"pruning/mask/{name}")[-1].encoded_image_string))
    rows, columns = pruner.masks[name].shape
    cells = np.asarray(last).reshape(rows, last.height // rows, columns, -1)[:, 0, :, 0]
    np.testing.assert_array_equal(cells == 0, pruner.masks[name])


@pytest.mark.framework
def test_a_run_in_pytorch_is_shown_in_its_own_log_folder(tmp_path):
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    observer = secateur_tensorboard.TensorBoard(tmp_path / "runs" / "one")
    pruner = secateur.attach(model, POLICY, optimizer=optimizer, observers=[observer])
    for _ in range(5):
        model(torch.ones(4, 8)).sum().backward()
        optimizer.step()
    assert_shows_the_run(tmp_path / "runs" / "one", pruner, "0:kernel", [128, 32])


@pytest.mark.framework
def test_a_run_in_keras_is_shown_in_its_own_log_folder(tmp_path):
    import keras
    import torch  # noqa: F401  # before TensorFlow

    layers = [keras.layers.Dense(16, name="first"), keras.layers.Dense(2, name="last")]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile("sgd", "mse")
    observer = secateur_tensorboard.TensorBoard(tmp_path)
    pruner = secateur.attach(model, POLICY, observers=[observer])
    x, y = np.ones((20, 8), "float32"), np.ones((20, 2), "float32")
    model.fit(x, y, batch_size=4, verbose=0, callbacks=[pruner.callback()])
    assert_shows_the_run(tmp_path, pruner, "first:kernel", [128, 32])


def test_two_runs_with_one_observer_and_weights_of_any_shape(tmp_path):
    pytest.importorskip("tensorboard")
    rng = np.random.default_rng(0)
    observer = secateur_tensorboard.TensorBoard(tmp_path)
    half = {"schedule": {"kind": "one_shot", "final_sparsity": 1.0}}
    weights = {
        "conv": rng.normal(size=(4, 3, 3, 3)),
        "lstm": (rng.normal(size=(4, 6, 5)), "rnn"),
        "wide": rng.normal(size=(2, 5000)),
    }
    for _ in range(2):
        secateur.prune(weights, half, observers=[observer])
    reader = written(tmp_path)
    sizes = {name: reader.Images(f"pruning/mask/{name}")[0] for name in weights}
    shapes = {name: (image.height, image.width) for name, image in sizes.items()}
    assert shapes == {"conv": (64, 432), "lstm": (288, 60), "wide": (2, 1024)}
    assert "pruning/threshold" not in reader.Tags()["scalars"]  # nothing is kept


@pytest.mark.slow
def test_it_imports_no_framework_and_says_what_is_missing(tmp_path):
    code = f"""
import sys, numpy, secateur, secateur_tensorboard
half = {{"schedule": {{"kind": "one_shot", "final_sparsity": 0.5}}}}
observer = secateur_tensorboard.TensorBoard({str(tmp_path)!r})
secateur.prune({{"fc": numpy.eye(4)}}, half, observers=[observer])
assert not {{"torch", "tensorflow", "jax", "keras"}} & set(sys.modules)
sys.modules["tensorboard"] = None
sys.modules["tensorboard.compat.proto.event_pb2"] = None
secateur_tensorboard.TensorBoard("x")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith(
        'secateur_tensorboard needs tensorboard: pip install "secateur[tensorboard]"'
    )
