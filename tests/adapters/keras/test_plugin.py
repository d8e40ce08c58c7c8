"""Recognising models: light, and helpful towards models of an older Keras."""

import subprocess
import sys
import types

import keras
import numpy as np
import pytest
from keras import layers

import secateur
from secateur_keras.plugin import KerasAdapter

HALF = {"schedule": {"kind": "constant", "final_sparsity": 0.5}}


def test_plugin_imports_no_framework():
    code = (
        "import sys, secateur_keras.plugin as p; p.KerasAdapter().matches(object());"
        "assert not {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_models_and_layers_of_keras_match_and_others_do_not():
    adapter = KerasAdapter()
    assert adapter.matches(keras.Sequential())
    assert adapter.matches(layers.Dense(1))
    assert not adapter.matches({"w": np.ones((2, 2))})
    assert not adapter.matches(keras.optimizers.Adam())


@pytest.fixture
def older(monkeypatch):
    """A stand-in for tf_keras, which cannot share an environment with Keras 3."""

    class Layer:
        pass

    package = types.ModuleType("tf_keras")
    package.__version__ = "2.21.0"
    package.layers = types.SimpleNamespace(Layer=Layer)
    monkeypatch.setitem(sys.modules, "tf_keras", package)
    return Layer()


def test_model_of_tf_keras_is_refused_with_what_to_install(older):
    with pytest.raises(secateur.ModelError, match=r'tf_keras 2\.21\.0.*"secateur\[keras\]"'):
        secateur.plan(older, HALF)


def test_model_of_an_old_keras_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setattr(keras, "__version__", "3.4.1")
    with pytest.raises(secateur.ModelError, match=r"keras 3\.4\.1.*3\.5 or newer"):
        secateur.plan(keras.Sequential([keras.Input((2,)), layers.Dense(2)]), HALF)


@pytest.mark.parametrize("verb", [secateur.attach, secateur.prune])
def test_weight_with_a_nan_is_refused_and_nothing_is_changed(verb, network):
    model = network()
    kernel = model.get_layer("hidden").get_weights()[0]
    kernel[3, 2] = np.nan
    model.get_layer("hidden").set_weights([kernel, np.zeros(16)])
    before, attributes = model.get_weights(), set(vars(model))
    with pytest.raises(secateur.WeightError, match="hidden:kernel"):
        verb(model, HALF)
    assert all(
        np.array_equal(a, b, equal_nan=True)
        for a, b in zip(before, model.get_weights(), strict=True)
    )
    assert model.get_layer("conv").kernel.constraint is None
    assert set(vars(model)) == attributes


def test_detach_leaves_the_model_as_it_was_but_for_its_zeros(network, data, compile_, fit):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, HALF)
    fit(model, pruner)
    pruner.detach()
    assert model.get_layer("conv").kernel.constraint is None
    assert not hasattr(model, "secateur_state")
    assert all(v.dtype != "bool" for v in model.optimizer.variables)
    x, y = data(8)
    model.fit(x, y, batch_size=4, verbose=0)
    assert (model.get_layer("out").get_weights()[0] != 0).all()
