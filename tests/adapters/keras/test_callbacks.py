"""Other callbacks of a fit(): those that change weights, second ones, and interrupts."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import secateur
from secateur.errors import StateWarning

SLOWLY = {"schedule": {"kind": "linear", "final_sparsity": 0.75, "end_step": 30, "frequency": 1}}
CONSTANT = {"schedule": {"kind": "constant", "final_sparsity": 0.75}}


class Noise(keras.callbacks.Callback):
    """Adds to every weight at the end of each batch, or at the start."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def add(self):
        self.model.set_weights([weight + 1 for weight in self.model.get_weights()])

    def on_train_batch_begin(self, batch, logs=None):
        if self.at == "begin":
            self.add()

    def on_train_batch_end(self, batch, logs=None):
        if self.at == "end":
            self.add()


class Seen(layers.Layer):
    """Notes whether pruned weights are zero when a batch is computed."""

    def __init__(self, layer):
        super().__init__()
        self.watched, self.sparsities = [layer], []

    def compute_output_shape(self, shape):
        return shape

    def call(self, x):
        kernel = keras.ops.convert_to_tensor(self.watched[0].kernel)
        self.sparsities.append(float(keras.ops.mean(keras.ops.cast(kernel == 0, "float32"))))
        return x


def watched():
    dense = layers.Dense(8, name="fc")
    seen = Seen(dense)
    model = keras.Sequential([keras.Input((4,)), dense, seen])
    model.compile("sgd", "mse", run_eagerly=True)
    return model, seen


def fit(model, *callbacks, count=5):
    x = np.random.default_rng(0).normal(size=(4 * count, 4)).astype("float32")
    model.fit(x, x[:, :1] + np.zeros(8), batch_size=4, verbose=0, callbacks=list(callbacks))


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="there a batch is always traced")
@pytest.mark.parametrize("order", ["noise first", "pruner first"])
def test_a_batch_is_computed_with_masked_weights(order):
    model, seen = watched()
    pruner = secateur.attach(model, CONSTANT)
    seen.sparsities.clear()
    callbacks = [Noise("end"), pruner.callback()]
    with warnings.catch_warnings():
        if order == "pruner first":
            warnings.simplefilter("ignore", StateWarning)
        fit(model, *(callbacks if order == "noise first" else callbacks[::-1]))
    assert len(seen.sparsities) >= 5  # some backends call a layer once more to build it
    assert set(seen.sparsities) == {0.75}


class Held(keras.callbacks.Callback):
    """Checks the weights before each batch, after the callbacks above it in the list."""

    def __init__(self, pruner, held):
        super().__init__()
        self.pruner, self.held, self.batches = pruner, held, 0

    def on_train_batch_begin(self, batch, logs=None):
        assert self.model is not None
        self.held(self.pruner)
        self.batches += 1


@pytest.mark.parametrize("at", ["begin", "end"])
def test_weights_that_a_callback_changes_are_masked_before_the_next_batch(
    at, network, data, compile_, held
):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, SLOWLY)
    check = Held(pruner, held)
    callbacks = [Noise(at), pruner.callback(), check]
    model.fit(*data(40), batch_size=4, verbose=0, callbacks=callbacks)
    assert check.batches == pruner.current_step == 10
    held(pruner)


def test_a_callback_that_changes_weights_last_is_named(network, data, compile_, held):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, CONSTANT)
    with pytest.warns(StateWarning, match=r"Noise.* changed weights.* before pruner\.callback"):
        model.fit(*data(8), batch_size=4, verbose=0, callbacks=[pruner.callback(), Noise("end")])
    held(pruner)


def test_two_callbacks_of_one_pruner_are_one(network, data, compile_, held):
    policy = {
        "schedule": {
            "kind": "constant",
            "final_sparsity": 0.75,
            "begin_when": {"monitor": "loss", "window": 2, "min_delta": 10.0},
        }
    }
    steps = []
    for count in (1, 2):
        keras.utils.set_random_seed(2)
        model = network()
        compile_(model)
        pruner = secateur.attach(model, policy)
        callbacks = [pruner.callback() for _ in range(count)]
        model.fit(*data(40), batch_size=4, verbose=0, shuffle=False, callbacks=callbacks)
        assert pruner.current_step == 10
        steps.append(pruner.report().sparsity)
        held(pruner)
    assert steps[0] == steps[1]


class InterruptAtEnd(keras.callbacks.Callback):
    """Raises after an update, as Control-C does."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.batch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("again", [1, 2])
def test_an_update_before_an_interrupt_is_counted(again, network, data, compile_, held):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, SLOWLY)
    for _ in range(again):
        with pytest.raises(KeyboardInterrupt):
            model.fit(
                *data(16), batch_size=4, verbose=0, callbacks=[InterruptAtEnd(2), pruner.callback()]
            )
    model.fit(*data(16), batch_size=4, verbose=0, callbacks=[pruner.callback()])
    assert pruner.current_step == 3 * again + 4
    assert pruner.current_step == int(keras.ops.convert_to_numpy(model.optimizer.iterations))
    held(pruner)


def test_an_update_before_an_interrupt_is_in_the_file(network, data, compile_, tmp_path):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, SLOWLY)
    with pytest.raises(KeyboardInterrupt):
        model.fit(
            *data(16), batch_size=4, verbose=0, callbacks=[InterruptAtEnd(2), pruner.callback()]
        )
    (note,) = [each for each in pruner.report().notes if "not counted" in each]
    assert "pruner.step(1)" in note
    with pytest.warns(StateWarning, match="1 behind the weights"):
        pruner.save(tmp_path / "state.npz")
    model.save_weights(tmp_path / "w.weights.h5")
    assert pruner.current_step == 3
    assert not any("not counted" in each for each in pruner.report().notes)


class ReportFirst(keras.callbacks.Callback):
    """Asks for a report before the pruner's callback has counted the update."""

    def __init__(self, pruner):
        super().__init__()
        self.pruner, self.notes = pruner, []

    def on_train_batch_end(self, batch, logs=None):
        self.notes += self.pruner.report().notes


def test_a_report_of_another_callback_calls_no_fit_interrupted(network, data, compile_):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, SLOWLY)
    first = ReportFirst(pruner)
    model.fit(*data(16), batch_size=4, verbose=0, callbacks=[first, pruner.callback()])
    assert not any("interrupted" in note for note in first.notes)


def test_updates_of_a_fit_without_the_callback_are_not_counted(network, data, compile_):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, SLOWLY)
    fit = {"batch_size": 4, "verbose": 0}
    model.fit(*data(16), **fit, callbacks=[pruner.callback()])
    model.fit(*data(16), **fit)
    model.fit(*data(16), **fit, callbacks=[pruner.callback()])
    assert pruner.current_step == 8


def test_callbacks_in_a_list_of_kerass_own(network, data, compile_, held):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, SLOWLY)
    callbacks = keras.callbacks.CallbackList([pruner.callback()], add_history=True, model=model)
    for epoch in range(1, 3):
        model.fit(*data(16), batch_size=4, verbose=0, callbacks=callbacks)
        assert pruner.current_step == 4 * epoch
    held(pruner)
