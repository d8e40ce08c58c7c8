"""A callback in the fit() of another model is refused; parts and wholes are no other models."""

import keras
import numpy as np
import pytest
from keras import layers

import secateur

POLICY = {"schedule": {"kind": "constant", "final_sparsity": 0.75}}


def another(model, network):
    again = network()
    again.set_weights(model.get_weights())
    return again


def with_a_new_head(model, network):
    x = model.layers[-2].output
    return keras.Model(model.inputs, layers.Dense(3, name="new")(x))


OTHERS = {
    "made again": another,
    "cloned": lambda model, network: keras.models.clone_model(model),
    "a new head": with_a_new_head,
    "renamed clone": lambda model, network: keras.Sequential(
        [keras.Input((8, 8, 1)), *network().layers], name="fold_2"
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_the_callback_of_another_model_is_refused(case, network, data, compile_):
    model = network()
    pruner = secateur.attach(model, POLICY)
    other = OTHERS[case](model, network)
    compile_(other)
    before = other.get_weights()
    with pytest.raises(secateur.ModelError, match=r"trains another model.*Attach to the model"):
        other.fit(*data(8), batch_size=4, verbose=0, callbacks=[pruner.callback()])
    assert all(map(np.array_equal, before, other.get_weights()))
    # what failed can be done rightly afterwards
    again = secateur.attach(other, POLICY) if case != "a new head" else None
    if again:
        other.fit(*data(8), batch_size=4, verbose=0, callbacks=[again.callback()])
        assert again.current_step == 2


def test_a_model_that_was_loaded_again_is_another_one(network, data, compile_, tmp_path):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, POLICY)
    model.fit(*data(8), verbose=0, callbacks=[pruner.callback()])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    with pytest.raises(secateur.ModelError, match=r"conv:kernel"):
        loaded.fit(*data(8), verbose=0, callbacks=[pruner.callback()])


@pytest.mark.parametrize("depth", [1, 2])
def test_a_model_around_the_pruned_one_is_none(depth, network, data, compile_, held):
    inner = outer = network()
    pruner = secateur.attach(inner, POLICY)
    for _ in range(depth):
        x = keras.Input((8, 8, 1))
        outer = keras.Model(x, outer(x))
    compile_(outer)
    outer.fit(*data(8), batch_size=4, verbose=0, callbacks=[pruner.callback()])
    assert pruner.current_step == 2
    held(pruner)


def test_a_part_of_the_pruned_model_is_none(held):
    x = keras.Input((4,))
    encoder = keras.Model(x, layers.Dense(3, name="encode")(x), name="encoder")
    whole = keras.Model(x, layers.Dense(4, name="decode")(encoder(x)))
    pruner = secateur.attach(whole, POLICY)
    encoder.compile("sgd", "mse")
    z = np.ones((4, 4), "float32")
    encoder.fit(z, z[:, :3], batch_size=2, verbose=0, callbacks=[pruner.callback()])
    assert pruner.current_step == 2
    held(pruner)


def test_another_model_of_the_same_layers_is_none(data, compile_, network, held):
    model = network()
    pruner = secateur.attach(model, POLICY)
    again = keras.Sequential(model.layers)
    again.build((None, 8, 8, 1))
    compile_(again)
    again.fit(*data(8), batch_size=4, verbose=0, callbacks=[pruner.callback()])
    held(pruner)
