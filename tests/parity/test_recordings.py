"""A run is recorded alike in every framework, resumed runs included."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import secateur

GROW = {"kind": "polynomial", "final_sparsity": 0.8, "end_step": 6, "frequency": 2}
POLICY = {
    "schedule": GROW,
    "rules": [{"match": {"position": "last"}, "pattern": {"kind": "block", "in": 2}}, {}],
}
NAMES = ("first:kernel", "last:kernel")


def arrays() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=size).astype(np.float32) for size in ((16, 8), (4, 16))]


def torch_model() -> torch.nn.Module:
    model = torch.nn.Sequential()
    for name, array in zip(("first", "last"), arrays(), strict=True):
        model.add_module(name, torch.nn.Linear(*array.shape[::-1], bias=False))
        getattr(model, name).weight.data[:] = torch.from_numpy(array)
    return model


def keras_model():
    import keras

    layers = [
        keras.layers.Dense(n, use_bias=False, name=m) for n, m in ((16, "first"), (4, "last"))
    ]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.set_weights([array.T for array in arrays()])
    return model


def flax_model():
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self):
            self.first = nnx.Linear(8, 16, use_bias=False, rngs=nnx.Rngs(0))
            self.last = nnx.Linear(16, 4, use_bias=False, rngs=nnx.Rngs(0))

    model = Net()
    for layer, array in zip((model.first, model.last), arrays(), strict=True):
        layer.kernel[...] = array.T
    return model


def numpy_model() -> dict[str, np.ndarray]:
    return dict(zip(NAMES, arrays(), strict=True))


def masks_of(recording: secateur.Recording) -> dict[str, list[np.ndarray]]:
    return {name: [mask for _, mask in recording.masks(name)] for name in NAMES}


@pytest.mark.parametrize("make", [torch_model, keras_model, flax_model])
def test_a_run_is_recorded_as_in_numpy_also_when_it_was_resumed(make, tmp_path):
    reference = secateur.Recorder(tmp_path / "numpy.npz")
    pruner = secateur.attach(numpy_model(), POLICY, observers=[reference])
    for _ in range(6):
        pruner.step()

    path = tmp_path / "run.npz"
    pruner = secateur.attach(make(), POLICY, observers=[secateur.Recorder(path)])
    for _ in range(3):
        pruner.step()
    pruner.save(tmp_path / "state.npz")
    pruner.step()  # recorded, and lost
    with pytest.warns(secateur.ScheduleWarning):
        pruner.detach()

    recorder = secateur.Recorder(path, if_exists="resume")
    pruner = secateur.attach(make(), POLICY, observers=[recorder])
    pruner.load(tmp_path / "state.npz")
    for _ in range(3):
        pruner.step()
    pruner.detach()
    found, wanted = secateur.Recording.load(path), reference.recording
    assert found.adapter != wanted.adapter
    assert found.history == wanted.history
    for name, masks in masks_of(wanted).items():
        np.testing.assert_array_equal(masks_of(found)[name], masks)
