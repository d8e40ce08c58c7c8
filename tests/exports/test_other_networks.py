"""Networks unlike the one of the page's table, each of which once failed or was written badly."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch  # before TensorFlow

import secateur
from secateur.errors import ExportError
from secateur_exports.quiet import quiet
from tests.exports.networks import POLICY

pytestmark = pytest.mark.filterwarnings("ignore")  # of the converters, where they are imported


def pruned(*layers):
    import keras

    keras.utils.set_random_seed(0)
    net = keras.Sequential(layers)
    secateur.prune(net, POLICY)
    return net


def test_int8_ranges_come_from_every_sample_and_not_the_first_alone(tmp_path):
    from keras import Input, layers

    net = pruned(Input((8,)), layers.Dense(64, "relu"), layers.Dense(8))
    inputs = np.random.default_rng(0).normal(size=(6, 8)) * np.geomspace(0.01, 4, 6)[:, None]
    options = {"to": "litert", "quantize": "int8", "inputs": inputs}
    assert secateur.export(net, tmp_path / "net.tflite", **options).relative_difference < 0.05


def test_a_network_whose_outputs_are_always_zero_runs_as_int8(tmp_path):
    from keras import Input, layers

    net = pruned(Input((8,)), layers.Dense(16, "relu"), layers.Dense(16, "relu"), layers.Dense(4))
    net.layers[0].bias.assign(np.full(16, -100.0))
    options = {"to": "litert", "quantize": "int8"}
    assert secateur.export(net, tmp_path / "net.tflite", **options).max_difference < 0.01


def test_grouped_convolutions_of_keras_become_onnx(tmp_path):
    import tensorflow as tf
    from keras import Input, layers

    net = pruned(Input((8, 8, 8)), layers.Conv2D(16, 3, groups=4), layers.Flatten())
    exported = secateur.export(net, tmp_path / "net.onnx", to="onnx")
    assert all(weight.checked for weight in exported.weights)
    assert not tf.config.functions_run_eagerly()


def test_keras_models_of_mixed_precision_are_written_in_that_of_their_weights(tmp_path):
    from keras import Input, layers

    inner = layers.Dense(16, "relu", dtype="mixed_float16")
    net = pruned(Input((8,)), inner, layers.Dense(4, dtype="mixed_bfloat16"))
    for to, name in (("litert", "net.tflite"), ("onnx", "net.onnx"), ("openvino", "net.xml")):
        exported = secateur.export(net, tmp_path / name, to=to)
        assert exported.relative_difference < 1e-5
    assert [layer.compute_dtype for layer in net.layers] == ["float16", "bfloat16"]


def test_a_quantized_layer_of_mixed_precision_is_compared_with_its_own_policy():
    from keras import Input, layers

    from secateur_exports.keras_model import KerasModel

    net = pruned(Input((8,)), layers.Dense(16, dtype="mixed_bfloat16"))
    net.layers[0].quantize("int8")
    model = KerasModel(net, None)
    (before,) = model.run(model.inputs)
    with model.unchanged():
        (after,) = model.run(model.inputs)
    np.testing.assert_array_equal(before, after)


def test_openvino_is_told_a_name_that_it_can_read(tmp_path):
    from keras import Input, layers

    net = pruned(Input((8,)), layers.Dense(4))
    with pytest.raises(ExportError, match=r"write net\.xml"):
        secateur.export(net, tmp_path / "net.ov", to="openvino")
    assert not list(tmp_path.iterdir())


def test_the_zeros_of_a_bidirectional_lstm_are_found_in_dynamic_int8(tmp_path):
    from keras import Input, layers

    net = pruned(Input((5, 8)), layers.Bidirectional(layers.LSTM(16)), layers.Dense(4))
    exported = secateur.export(net, tmp_path / "net.onnx", to="onnx", quantize="dynamic")
    assert [weight.dtypes for weight in exported.weights] == [("int8",)] * 5


def test_bfloat16_weights_are_refused_with_what_to_do(tmp_path):
    net = torch.nn.Linear(8, 8).bfloat16()
    for to, name in (("onnx", "net.onnx"), ("litert", "net.tflite")):
        with pytest.raises(ExportError, match=r"model\.float\(\)"):
            secateur.export(net, tmp_path / name, to=to, inputs=torch.zeros(1, 8))
    assert not list(tmp_path.iterdir())


def test_a_library_that_set_up_logging_during_an_export_still_logs(capfd):
    logger = logging.getLogger("made.in.quiet")
    with quiet():
        logger.addHandler(logging.StreamHandler())
    logger.warning("afterwards")
    logger.handlers.clear()
    assert "Logging error" not in capfd.readouterr().err


def test_a_float_that_openvino_multiplies_by_a_weight_is_not_taken_for_a_quantized_one(tmp_path):
    import openvino
    from openvino import opset13 as op

    from secateur_exports.openvino import OpenvinoExporter

    scale, weight = np.ones((4, 1, 1, 1), np.float32), np.ones((4, 1, 3, 3), np.float32)
    images = op.parameter([1, 1, 6, 6], np.float32)
    made = op.convolution(images, op.multiply(scale, weight), [1, 1], [0, 0], [0, 0], [1, 1])
    openvino.save_model(openvino.Model([made], [images]), tmp_path / "net.xml")
    for tensor in OpenvinoExporter().tensors(tmp_path / "net.xml"):
        assert tensor.real().shape == tensor.is_zero().shape == tensor.values.shape
