"""Files written under pruning are plain Keras files; checkpoints carry the pruning state."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

import secateur
from tests.nets import kept_runs

CONSTANT = {"schedule": {"kind": "constant", "final_sparsity": 0.75}}
PLAIN = """
import sys, warnings
sys.modules["secateur"] = sys.modules["secateur_keras"] = None  # as if not installed
import keras, numpy as np
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
model = keras.models.load_model(sys.argv[1])
weights = model.get_weights()
np.savez(
    sys.argv[2],
    *weights,
    iterations=np.asarray(model.optimizer.iterations.value),
    state=[np.asarray(v.value).sum() for v in model.optimizer.variables],
    sparsity=(weights[-2] == 0).mean(),
    kind=type(model).__name__,
)
"""


def sequential():
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, activation="relu", name="a"), layers.Dense(4, name="b")]
    )


def functional():
    x = keras.Input((6,))
    return keras.Model(x, layers.Dense(4, name="b")(layers.Dense(8, name="a")(x)))


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.a = layers.Dense(8, name="a")
        self.z = layers.Dense(4, name="b")

    def call(self, x):
        return self.z(self.a(x))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 6), "float32"))
    return model


BUILDERS = {"sequential": sequential, "functional": functional, "subclassed": subclassed}


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(32, 6)).astype("float32"), rng.normal(size=(32, 4)).astype("float32")


def trained(build, policy=CONSTANT, optimizer="adam", epochs=1):
    model = build()
    model.compile(optimizer, "mse")
    pruner = secateur.attach(model, policy)
    model.fit(*data(), batch_size=8, epochs=epochs, verbose=0, callbacks=[pruner.callback()])
    return model, pruner


def state_of(optimizer):
    """The optimizer's own state; on JAX its variables also carry masks."""
    return [np.asarray(v.value) for v in optimizer.variables if v.dtype != "bool"]


@pytest.mark.parametrize("build", ["sequential", "functional"])
def test_keras_file_loads_with_plain_keras_and_its_optimizer_state(build, tmp_path):
    model, _ = trained(BUILDERS[build])
    model.save(tmp_path / "sparse.keras")
    subprocess.run(
        [sys.executable, "-c", PLAIN, tmp_path / "sparse.keras", tmp_path / "out.npz"],
        check=True,
    )
    out = np.load(tmp_path / "out.npz")
    assert out["iterations"] == 4
    assert out["sparsity"] == 0.75
    assert str(out["kind"]) == type(model).__name__
    assert np.array_equal(out["state"], [one.sum() for one in state_of(model.optimizer)])
    loaded = [out[f"arr_{i}"] for i in range(len(model.get_weights()))]
    assert all(map(np.array_equal, loaded, model.get_weights()))


@pytest.mark.parametrize("build", BUILDERS)
def test_keras_file_reloads_here_with_equal_outputs(build, tmp_path):
    model, _ = trained(BUILDERS[build])
    model.save(tmp_path / "sparse.keras")
    again = keras.models.load_model(tmp_path / "sparse.keras")
    x, _ = data()
    assert np.array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    own = [v for v in model.optimizer.variables if "_mask" not in v.path]
    values = [np.asarray(v.value) for v in own]
    assert all(
        map(np.array_equal, values, (np.asarray(v.value) for v in again.optimizer.variables))
    )


@pytest.mark.parametrize("build", BUILDERS)
def test_weights_file_loads_into_a_model_without_a_pruner(build, tmp_path):
    model, _ = trained(BUILDERS[build])
    model.save_weights(tmp_path / "w.weights.h5")
    plain = BUILDERS[build]()
    plain.load_weights(tmp_path / "w.weights.h5")
    assert all(map(np.array_equal, plain.get_weights(), model.get_weights()))


def test_a_kept_weights_file_brings_its_pruning_state():
    network = kept_runs.KerasNetwork()
    pruner = kept_runs.attach(network)
    network.model.load_weights(kept_runs.FOLDER / "keras.weights.h5")
    assert pruner.current_step == kept_runs.SAVED_AT
    kept_runs.train(network, pruner, kept_runs.TOTAL)
    assert kept_runs.digest(network, pruner) == kept_runs.record()["end"]
    pruner.detach()
