"""What else Keras makes of a model under pruning: exports, copies and clones."""

import copy
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest

import secateur

CONSTANT = {"schedule": {"kind": "constant", "final_sparsity": 0.75}}
SERVE = """
import sys
sys.modules["secateur"] = sys.modules["secateur_keras"] = None  # as if not installed
import numpy as np, tensorflow as tf
x = np.load(sys.argv[2])
if sys.argv[1].endswith(".tflite"):
    model = tf.lite.Interpreter(sys.argv[1])
    model.resize_tensor_input(model.get_input_details()[0]["index"], x.shape)
    model.allocate_tensors()
    model.set_tensor(model.get_input_details()[0]["index"], x)
    model.invoke()
    out = model.get_tensor(model.get_output_details()[0]["index"])
else:
    model = tf.saved_model.load(sys.argv[1])
    out = model.serve(x).numpy()
np.save(sys.argv[3], out)
"""


@pytest.fixture
def pruned(network, compile_, fit):
    """A model in the middle of its pruning, the pruner still attached."""
    model = network()
    compile_(model)
    pruner = secateur.attach(model, CONSTANT)
    fit(model, pruner)
    return model


if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    def served(path, x, tmp_path):
        np.save(tmp_path / "x.npy", x)
        command = [sys.executable, "-c", SERVE, path, tmp_path / "x.npy", tmp_path / "out.npy"]
        subprocess.run(command, check=True)
        return np.load(tmp_path / "out.npy")

    def test_saved_model_of_a_model_under_pruning_serves_elsewhere(pruned, data, tmp_path):
        pruned.export(tmp_path / "exported", verbose=False)
        x, _ = data(8)
        out = served(tmp_path / "exported", x, tmp_path)
        assert np.allclose(out, pruned.predict(x, verbose=0), atol=1e-6)

    @pytest.mark.filterwarnings("ignore:.*tf.lite:UserWarning")
    def test_tflite_conversion_of_a_model_under_pruning_keeps_the_zeros(pruned, data, tmp_path):
        pruned.export(tmp_path / "exported", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "exported"))
        path = tmp_path / "model.tflite"
        path.write_bytes(converter.convert())
        x, _ = data(8)
        out = served(path, x, tmp_path)
        assert np.allclose(out, pruned.predict(x, verbose=0), atol=1e-5)
        interpreter = tf.lite.Interpreter(str(path))
        interpreter.allocate_tensors()
        # The hidden layer, 16 x 216, and the convolution, 6 x 3 x 3.
        tensors = interpreter.get_tensor_details()
        kernels = [t["index"] for t in tensors if np.prod(t["shape"]) in (16 * 216, 54)]
        zeros = {np.mean(interpreter.get_tensor(i) == 0).round(2) for i in kernels[:2]}
        assert 0.75 in zeros


def test_copies_and_clones_are_plain_models(pruned, data):
    x, _ = data(8)
    for again in (copy.deepcopy(pruned), pickle.loads(pickle.dumps(pruned))):  # noqa: S301
        assert type(again) is type(pruned)
        assert np.allclose(again.predict(x, verbose=0), pruned.predict(x, verbose=0), atol=1e-6)
        assert again.layers[0].kernel.constraint is None
    clone = keras.models.clone_model(pruned)
    clone.set_weights(pruned.get_weights())
    assert (clone.get_weights()[0] == 0).mean() == pytest.approx(0.75, abs=0.02)


def test_json_and_summary_know_nothing_of_the_pruner(pruned, network):
    assert "secateur" not in pruned.to_json()
    lines = []
    pruned.summary(print_fn=lines.append)
    assert "secateur" not in "\n".join(lines)
    assert pruned.count_params() == network().count_params()
