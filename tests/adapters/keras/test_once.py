"""`prune` writes zeros into a model once: the bits, and values that were read before."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import secateur

HALF = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(6, 4), (1100, 1000)])  # TensorFlow masks large ones in place
def test_kept_weights_keep_their_bits_and_pruned_ones_are_plus_zero(shape, dtype):
    layer = keras.layers.Dense(shape[1], use_bias=False, dtype=dtype)
    model = keras.Sequential([keras.Input((shape[0],)), layer])
    values = np.random.default_rng(0).normal(size=shape).astype("float32")
    values[0] = -0.0
    model.set_weights([values])
    earlier = layer.kernel.value
    before = np.array(keras.ops.convert_to_numpy(layer.kernel))
    (mask,) = secateur.prune(model, HALF).masks.values()
    after = np.asarray(keras.ops.convert_to_numpy(layer.kernel))
    assert after.dtype == before.dtype
    assert after.tobytes() == np.where(mask.T, before, np.zeros((), before.dtype)).tobytes()
    if keras.backend.backend() == "jax":
        np.testing.assert_array_equal(np.asarray(earlier), before)
    model.compile("sgd", "mse")
    model.fit(np.ones((4, shape[0])), np.ones((4, shape[1])), verbose=0)  # it can be trained on
