"""One pruner a model, and detach() is the end of it."""

import keras
import numpy as np
import pytest
from keras import layers

import secateur
from secateur.errors import ModelError, StateError

POLICY = {"schedule": {"kind": "constant", "final_sparsity": 0.75}}


def zeros(layer):
    return float((layer.get_weights()[0] == 0).mean())


def test_steps_compiled_before_detach_train_every_weight_after_it(network, data, compile_):
    inner = network()
    x = keras.Input((8, 8, 1))
    outer = keras.Model(x, inner(x))
    compile_(inner)
    compile_(outer)
    pruner = secateur.attach(inner, POLICY)
    for model in (inner, outer):
        model.fit(*data(16), batch_size=4, verbose=0, callbacks=[pruner.callback()])
    masks = {name: mask.copy() for name, mask in pruner.masks.items()}
    pruner.detach()
    inner.fit(*data(16), batch_size=4, verbose=0)
    assert zeros(inner.get_layer("hidden")) < 0.5
    for name, mask in pruner.masks.items():  # the last that were applied
        assert np.array_equal(mask, masks[name])


def test_a_detached_pruner_prunes_no_more(network, data, compile_, tmp_path):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, POLICY)
    callback = pruner.callback()
    pruner.save(tmp_path / "state.npz")
    pruner.detach()
    for act in (
        pruner.step,
        pruner.callback,
        lambda: pruner.load(tmp_path / "state.npz"),
        lambda: model.fit(*data(8), verbose=0, callbacks=[callback]),
    ):
        with pytest.raises(StateError, match="was detached"):
            act()
    assert pruner.report().sparsity == pytest.approx(0.75, abs=0.01)
    pruner.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "state.npz").read_bytes()


def test_a_second_pruner_is_refused_though_its_rules_are_for_other_weights(network):
    model = network()

    def only(name):
        return {**POLICY, "rules": [{"match": {"name": name}}]}

    first = secateur.attach(model, only("conv"))
    with pytest.raises(ModelError, match="another pruner"):
        secateur.attach(model, only("hidden"))
    assert model.secateur_state._pruner is first
    assert zeros(model.get_layer("hidden")) == 0


def test_attach_that_fails_leaves_no_hook(network):
    model = network()
    model.get_layer("out").kernel.assign(np.full((16, 3), np.nan, "float32"))
    with pytest.raises(secateur.WeightError):
        secateur.attach(model, POLICY)
    assert not hasattr(model, "secateur_state")
    assert all(variable.constraint is None for variable in model.trainable_variables)


def test_a_model_that_makes_its_own_train_function_can_be_attached(network, data, compile_):
    class Net(keras.Sequential):
        def make_train_function(self):
            return super().make_train_function()

    model = Net(network().layers)
    model.build((None, 8, 8, 1))
    compile_(model)
    model.fit(*data(8), verbose=0)
    pruner = secateur.attach(model, POLICY)
    model.fit(*data(8), verbose=0, callbacks=[pruner.callback()])
    assert zeros(model.get_layer("hidden")) == 0.75


def test_lora_enabled_under_pruning_is_refused_before_training(data, compile_):
    model = keras.Sequential([keras.Input((8,)), layers.Dense(16, name="fc"), layers.Dense(3)])
    compile_(model)
    pruner = secateur.attach(model, POLICY)
    model.get_layer("fc").enable_lora(2)
    x, y = data(8)
    with pytest.raises(ModelError, match=r"fc:kernel .*LoRA.*detach"):
        model.fit(x[:, 0, :, 0], y, verbose=0, callbacks=[pruner.callback()])


def test_a_pruner_can_be_detached_during_fit(network, data, compile_):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, POLICY)

    class Detach(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                pruner.detach()

    callbacks = [pruner.callback(), Detach()]
    model.fit(*data(16), batch_size=4, verbose=0, callbacks=callbacks)
    assert pruner.current_step == 2
    assert not pruner.attached
    assert zeros(model.get_layer("hidden")) < 0.5


def test_masks_have_paths_of_their_own(network, data, compile_):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, POLICY)
    model.fit(*data(8), verbose=0, callbacks=[pruner.callback()])
    paths = {variable.constraint.mask.path for variable in model.trainable_variables[::2]}
    assert len(paths) == 3
    assert model.get_state_tree()
