"""The layers of HGQ2, which quantize their kernels while they train: networks for hls4ml."""

from __future__ import annotations

import hgq.layers
import keras
import numpy as np
from keras import ops

import secateur

POLICY = {"schedule": {"kind": "constant", "final_sparsity": 0.8}}


def test_a_network_of_hgq2_keeps_its_zeros_through_training_in_the_quantized_kernels(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            hgq.layers.QConv2D(4, 3, activation="relu", name="conv"),
            keras.layers.Flatten(),
            hgq.layers.QEinsumDense("bi,io->bo", 8, bias_axes="o", name="einsum"),
            hgq.layers.QBatchNormDense(8, name="fused"),
            hgq.layers.QDense(2, name="head"),
        ]
    )
    model.compile("adam", "mse")
    pruner = secateur.attach(model, POLICY)
    random = np.random.default_rng(0)
    x, y = random.normal(size=(64, 6, 6, 3)), random.normal(size=(64, 2))
    model.fit(x, y, batch_size=16, epochs=1, verbose=0, callbacks=[pruner.callback()])
    reasons = [each.reason for each in secateur.plan(model, POLICY).skipped]
    assert any("bit widths" in reason for reason in reasons)
    assert not any("does not know" in reason for reason in reasons)
    layers = ("conv", "einsum", "fused", "head")
    assert set(pruner.masks) == {f"{name}:kernel" for name in layers}
    for name in layers:
        layer = model.get_layer(name)
        kernel, quantized = (ops.convert_to_numpy(k) for k in (layer.kernel, layer.qkernel))
        assert np.count_nonzero(kernel) == pruner.masks[f"{name}:kernel"].sum()
        assert not quantized[kernel == 0].any()
    report = secateur.target("fpga", model)
    assert report.meets
    assert {each.status for each in report.weights} == {"met"}
    pruner.detach()
    model.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    assert secateur.target("fpga", again).meets
