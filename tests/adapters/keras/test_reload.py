"""Weights that come from elsewhere during a run: checkpoints, rollbacks, an interrupted fit()."""

import keras
import numpy as np
import pytest

import secateur
from secateur.errors import StateError, StateWarning

SLOWLY = {
    "schedule": {"kind": "linear", "final_sparsity": 0.75, "end_step": 30, "frequency": 1},
}


def constant(sparsity):
    return {"schedule": {"kind": "constant", "final_sparsity": sparsity}}


class At(keras.callbacks.Callback):
    """Does something at the start of one batch."""

    def __init__(self, batch, act):
        super().__init__()
        self.batch, self.act = batch, act

    def on_train_batch_begin(self, batch, logs=None):
        if batch == self.batch:
            self.act(self.model)


class Steps(keras.callbacks.Callback):
    """Notes the pruner's step and the optimizer's after each batch."""

    def __init__(self, pruner):
        super().__init__()
        self.pruner, self.seen = pruner, []

    def on_train_batch_end(self, batch, logs=None):
        iterations = keras.ops.convert_to_numpy(self.model.optimizer.iterations)
        self.seen.append((self.pruner.current_step, int(iterations)))


@pytest.mark.parametrize("first", [True, False], ids=["pruner first", "rollback first"])
def test_a_rollback_during_fit_keeps_the_step_at_the_optimizers(
    first, network, data, compile_, held, tmp_path
):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, SLOWLY)
    model.fit(*data(16), batch_size=4, verbose=0, callbacks=[pruner.callback()])
    model.save_weights(tmp_path / "w.weights.h5")
    rollback = At(6, lambda trained: trained.load_weights(tmp_path / "w.weights.h5"))
    steps = Steps(pruner)
    callbacks = [pruner.callback(), rollback] if first else [rollback, pruner.callback()]
    model.fit(*data(40), batch_size=4, verbose=0, callbacks=[*callbacks, steps])
    assert steps.seen == [(n, n) for n in (*range(5, 11), *range(5, 9))]
    held(pruner)


@pytest.mark.parametrize("last", [True, False], ids=["pruner last", "pruner first"])
def test_weights_that_early_stopping_puts_back_are_told(
    last, network, data, compile_, held, tmp_path
):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, SLOWLY)
    stop = keras.callbacks.EarlyStopping("loss", min_delta=1e9, restore_best_weights=True)
    callbacks = [stop, pruner.callback()] if last else [pruner.callback(), stop]

    def fit():
        model.fit(*data(16), batch_size=4, epochs=5, verbose=0, callbacks=callbacks)

    if last:
        with pytest.warns(StateWarning, match=r"hidden.*start_from_epoch"):
            fit()
        assert not any("not zero" in note for note in pruner.report().notes)
    else:
        fit()
        with pytest.warns(StateWarning, match="not zero.*step"):
            model.save_weights(tmp_path / "w.weights.h5")
        assert any("hidden" in note and "step(0)" in note for note in pruner.report().notes)
        pruner.step(0)
    assert pruner.report().sparsity > 0
    held(pruner)


def test_a_checkpoint_of_another_policy_gives_its_weights_alone(
    network, data, compile_, held, tmp_path
):
    saved = network()
    compile_(saved)
    secateur.attach(saved, constant(0.5))
    saved.save_weights(tmp_path / "w.weights.h5")
    model = network()
    compile_(model)
    pruner = secateur.attach(model, constant(0.75))
    with pytest.warns(StateWarning, match="saved under policy"):
        model.load_weights(tmp_path / "w.weights.h5")
    held(pruner)
    masks = dict(pruner.masks)
    kernel, loaded = (m.get_layer("hidden").get_weights()[0] for m in (saved, model))
    kept = masks["hidden:kernel"].T
    assert np.array_equal(loaded, np.where(kept, kernel, 0))


def test_dense_weights_that_are_loaded_are_masked_at_once(network, compile_, held, tmp_path):
    dense = network()
    dense.save_weights(tmp_path / "w.weights.h5")
    model = network()
    pruner = secateur.attach(model, constant(0.75))
    model.load_weights(tmp_path / "w.weights.h5")
    held(pruner)


def test_updates_of_an_interrupted_fit_are_counted_once(network, data, compile_, tmp_path):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, SLOWLY)
    x, y = data(40)

    def interrupt(_model):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=4, verbose=0, callbacks=[pruner.callback(), At(4, interrupt)])
    for _ in range(3):
        model.train_on_batch(x[:4], y[:4])
        pruner.step()
    model.save_weights(tmp_path / "w.weights.h5")
    assert pruner.current_step == 7


def test_steps_only_go_on(network):
    pruner = secateur.attach(network(), SLOWLY)
    with pytest.raises(StateError, match="steps only go on"):
        pruner.step(updates=-1)
