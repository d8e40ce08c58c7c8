"""Data whose end is learnt by running out: nothing of the last batch is undone or counted twice."""

import keras
import numpy as np
import pytest
from keras import layers

import secateur
from secateur_keras.training import Training

BACKEND = keras.backend.backend()
BATCHES = 6
QUIET = {"verbose": 0, "shuffle": False}

pytestmark = pytest.mark.filterwarnings("ignore:.*ran out of data:UserWarning")


def one_shot(step, sparsity=0.75):
    return {"schedule": {"kind": "one_shot", "final_sparsity": sparsity, "begin_step": step}}


def polynomial(end, frequency=1):
    return {
        "schedule": {
            "kind": "polynomial",
            "final_sparsity": 0.75,
            "end_step": end,
            "frequency": frequency,
        }
    }


def model_of_one_layer(eagerly=False, **options):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, name="fc")])
    model.compile(keras.optimizers.Adam(0.01, **options), "mse", run_eagerly=eagerly)
    return model


def batches(count=BATCHES):
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.normal(size=(2, 4)).astype("float32"), np.ones((2, 8), "float32")


def from_tensorflow():
    tf = pytest.importorskip("tensorflow")
    signature = (tf.TensorSpec((2, 4)), tf.TensorSpec((2, 8)))
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


def from_torch():
    data = pytest.importorskip("torch.utils.data")

    class Stream(data.IterableDataset):
        def __iter__(self):
            return batches()

    return data.DataLoader(Stream(), batch_size=None)


def zeros(model):
    return float((model.get_layer("fc").get_weights()[0] == 0).mean())


def assert_says_what_is(model, pruner, sparsity=0.75):
    assert zeros(model) == sparsity
    assert pruner.report().sparsity == sparsity
    assert pruner.report().notes == ()


@pytest.mark.parametrize("eagerly", [False, True])
@pytest.mark.parametrize("source", ["generator", "tf.data", "torch"])
def test_pruning_in_the_last_batch_holds(source, eagerly, tmp_path):
    data = {"generator": batches, "tf.data": from_tensorflow, "torch": from_torch}[source]()
    model = model_of_one_layer(eagerly)
    pruner = secateur.attach(model, one_shot(BATCHES))
    model.fit(data, **QUIET, callbacks=[pruner.callback()])
    assert pruner.current_step == BATCHES
    assert_says_what_is(model, pruner)
    model.save(tmp_path / "sparse.keras")
    assert zeros(keras.models.load_model(tmp_path / "sparse.keras")) == 0.75


@pytest.mark.parametrize("end", [BATCHES, 2 * BATCHES, 3 * BATCHES])
def test_a_schedule_that_ends_with_an_epoch_reaches_its_end(end):
    model = model_of_one_layer()
    pruner = secateur.attach(model, polynomial(end))
    data = from_tensorflow() if BACKEND != "torch" else from_torch()
    model.fit(data, epochs=3, **QUIET, callbacks=[pruner.callback()])
    assert pruner.current_step == 3 * BATCHES
    assert_says_what_is(model, pruner)


def test_more_steps_in_an_epoch_than_there_is_data():
    model = model_of_one_layer()
    pruner = secateur.attach(model, polynomial(BATCHES))
    model.fit(
        batches(),
        steps_per_epoch=BATCHES + 3,
        verbose=0,
        shuffle=False,
        callbacks=[pruner.callback()],
    )
    assert pruner.current_step == BATCHES
    assert_says_what_is(model, pruner)


def test_validation_sees_the_pruned_weights():
    model = model_of_one_layer()
    pruner = secateur.attach(model, one_shot(BATCHES))
    seen = []

    class Look(keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            seen.append(zeros(self.model))

        def on_epoch_end(self, epoch, logs=None):
            seen.append(zeros(self.model))

    x, y = next(batches())
    model.fit(
        batches(),
        validation_data=(x, y),
        verbose=0,
        shuffle=False,
        callbacks=[Look(), pruner.callback()],
    )
    assert seen == [0.75, 0.75]
    assert_says_what_is(model, pruner)


def test_a_step_of_ones_own_in_the_last_batch_holds():
    model = model_of_one_layer()
    pruner = secateur.attach(model, one_shot(2))

    class PutBack(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == BATCHES - 1:
                layer = self.model.get_layer("fc")
                layer.set_weights([np.ones((4, 8)), np.zeros(8)])
                pruner.step(0)

    model.fit(batches(), **QUIET, callbacks=[pruner.callback(), PutBack()])
    assert_says_what_is(model, pruner)
    assert np.unique(model.get_layer("fc").get_weights()[0]).tolist() == [0, 1]


def test_a_state_that_is_loaded_in_the_last_batch_holds(tmp_path):
    first = model_of_one_layer()
    saved = secateur.attach(first, one_shot(1))
    first.fit(batches(), **QUIET, callbacks=[saved.callback()])
    saved.save(tmp_path / "state.npz")
    model = model_of_one_layer()
    pruner = secateur.attach(model, one_shot(1))
    wanted = saved.masks["fc:kernel"].T

    class Load(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == BATCHES - 1:
                pruner.load(tmp_path / "state.npz")

    model.fit(batches(), **QUIET, callbacks=[pruner.callback(), Load()])
    assert np.array_equal(pruner.masks["fc:kernel"].T, wanted)
    assert not model.get_layer("fc").get_weights()[0][~wanted].any()
    assert pruner.current_step == BATCHES
    assert pruner.report().notes == ()


def test_a_pruner_that_is_detached_in_the_last_batch_leaves_zeros():
    model = model_of_one_layer()
    pruner = secateur.attach(model, one_shot(BATCHES))

    class Detach(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == BATCHES - 1:
                pruner.detach()

    model.fit(batches(), **QUIET, callbacks=[pruner.callback(), Detach()])
    assert zeros(model) == 0.75


def test_a_pruned_model_inside_the_one_that_runs_out_of_data():
    inner = model_of_one_layer()
    x = keras.Input((4,))
    outer = keras.Model(x, inner(x))
    outer.compile("adam", "mse")
    pruner = secateur.attach(inner, one_shot(BATCHES))
    outer.fit(batches(), **QUIET, callbacks=[pruner.callback()])
    assert pruner.current_step == BATCHES
    assert_says_what_is(inner, pruner)


def test_moving_averages_that_replace_the_weights_are_pruned():
    model = model_of_one_layer(use_ema=True, ema_momentum=0.5)
    pruner = secateur.attach(model, one_shot(BATCHES))
    model.fit(batches(), **QUIET, callbacks=[pruner.callback()])
    assert_says_what_is(model, pruner)


if BACKEND == "jax":

    def test_masks_that_keras_puts_back_are_applied_again(monkeypatch):
        monkeypatch.setattr(Training, "record", lambda _training: None)
        model = model_of_one_layer()
        pruner = secateur.attach(model, one_shot(BATCHES))
        model.fit(batches(), **QUIET, callbacks=[pruner.callback()])
        assert_says_what_is(model, pruner)


@pytest.mark.parametrize("several", [1, 4])
@pytest.mark.parametrize("epochs", [1, 3])
def test_the_step_is_the_number_of_real_updates(several, epochs, tmp_path):
    if BACKEND == "torch" and several > 1:
        pytest.skip("there Keras runs one step an execution")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, name="fc")])
    model.compile("adam", "mse", steps_per_execution=several)
    pruner = secateur.attach(model, polynomial(100))
    steps = []

    class Steps(keras.callbacks.Callback):
        async_safe = True

        def on_train_batch_end(self, batch, logs=None):
            steps.append(pruner.current_step)

    path = str(tmp_path / "{epoch}.weights.h5")
    save = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    data = from_torch() if BACKEND == "torch" else from_tensorflow()
    model.fit(data, epochs=epochs, **QUIET, callbacks=[save, pruner.callback(), Steps()])
    whole = range(several, BATCHES + 1, several)
    each = sorted({*whole, BATCHES})
    assert steps == [BATCHES * epoch + step for epoch in range(epochs) for step in each]
    for epoch in range(1, epochs + 1):
        loaded = keras.Sequential([keras.Input((4,)), layers.Dense(8, name="fc")])
        resumed = secateur.attach(loaded, polynomial(100))
        loaded.load_weights(path.format(epoch=epoch))
        assert resumed.current_step == BATCHES * epoch
