"""Criteria get the gradient that the optimizer's rule was given, inside fit() and outside."""

from __future__ import annotations

from typing import ClassVar

import keras
import numpy as np
import pytest

import secateur

BACKEND = keras.backend.backend()
RATE = 0.1
RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 4)).astype("float32")
Y = RNG.normal(size=(32, 3)).astype("float32")
pytestmark = pytest.mark.filterwarnings("ignore::secateur.ScheduleWarning")


class Spy(secateur.Criterion):
    """Remembers the last gradient, to be read from the state."""

    kind = "spy_of_keras"
    elementwise = True
    needs: ClassVar = {"gradient"}
    memory: ClassVar = {"gradient": "float32"}

    def update(self, state, weight, gradient, context):
        return {"gradient": gradient}

    def score(self, weight, context):
        return np.abs(weight)


class Asked(secateur.Criterion):
    """Notes the gradients that it ranks by."""

    kind = "asked_of_keras"
    elementwise = True
    needs: ClassVar = {"gradient"}
    ranked: ClassVar[dict] = {}

    def score(self, weight, context):
        Asked.ranked.setdefault((context.name, context.step), context.gradient.copy())
        return np.abs(context.gradient)


@pytest.fixture(autouse=True)
def _registered():
    class Plugin:
        @secateur.hookimpl
        def secateur_criteria(self):
            return [Spy, Asked]

    secateur.register(Plugin(), "spy-of-keras")
    yield
    secateur.unregister("spy-of-keras")
    Asked.ranked.clear()


def policy(criterion="spy_of_keras", final=0.0, begin=1, **settings):
    schedule = {"kind": "constant", "final_sparsity": final, "begin_step": begin, "frequency": 1}
    return {"criterion": criterion, "schedule": schedule | settings}


def network(optimizer, **settings):
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(6, "relu", name="a")
    model = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(3, name="b")])
    model.compile(optimizer, "mse", **settings)
    return model


def sgd(**settings):
    return keras.optimizers.SGD(RATE, **settings)


def fit(model, pruner, *callbacks):
    used = [pruner.callback(), *callbacks]
    model.fit(X, Y, batch_size=4, verbose=0, shuffle=False, callbacks=used)


class Moved(keras.callbacks.Callback):
    """Compares the gradient that a criterion got with how far the weights have moved."""

    def __init__(self, pruner):
        super().__init__()
        self.pruner, self.compared = pruner, 0

    def kernel(self):
        return np.array(self.model.get_layer("a").get_weights()[0])

    def on_train_batch_begin(self, batch, logs=None):
        self.before = self.kernel()

    def on_train_batch_end(self, batch, logs=None):
        moved = (self.before - self.kernel()) / RATE
        if moved.any():
            found = np.asarray(self.pruner.state_dict()["memory/gradient/a:kernel"])
            np.testing.assert_allclose(found.reshape(6, 4).T, moved, rtol=2e-3, atol=1e-5)
            self.compared += 1


MODES = {
    "plain": ({}, {}, 8),
    "eager": ({}, {"run_eagerly": True}, 8),
    "compiled by XLA": ({}, {"jit_compile": BACKEND != "torch"}, 8),
    "clipped": ({"global_clipnorm": 0.01}, {}, 8),
    "clipped by value": ({"clipvalue": 0.001}, {"jit_compile": False}, 8),
    "accumulated": ({"gradient_accumulation_steps": 4}, {}, 2),
}


@pytest.mark.parametrize("mode", MODES)
def test_it_is_the_gradient_that_moves_the_weights(mode):
    options, settings, updates = MODES[mode]
    model = network(sgd(**options), **settings)
    pruner = secateur.attach(model, policy())
    moved = Moved(pruner)
    fit(model, pruner, moved)
    assert (moved.compared, pruner.current_step) == (updates, updates)
    pruner.detach()


def test_it_has_the_loss_scale_undone():
    model = network(keras.optimizers.LossScaleOptimizer(sgd(), initial_scale=1024.0))
    pruner = secateur.attach(model, policy())
    moved = Moved(pruner)
    fit(model, pruner, moved)
    assert moved.compared == 8
    pruner.detach()


def test_an_accumulator_of_what_comes_back_begins_as_in_a_new_optimizer():
    model = network(keras.optimizers.Ftrl(0.1))  # which divides by it
    pruner = secateur.attach(model, policy("set", final=0.5, begin=0, end_step=20))
    fit(model, pruner)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    back = pruner.revived["a:kernel"].T
    assert back.any()
    assert (np.asarray(model.optimizer._accumulators[0])[back] == np.float32(0.1)).all()
    pruner.detach()


def test_a_loop_of_batches_has_the_gradient_of_the_first_update():
    model = network(sgd())
    pruner = secateur.attach(model, policy())
    before = model.get_layer("a").get_weights()[0]
    model.train_on_batch(X, Y)
    pruner.step()
    moved = (before - model.get_layer("a").get_weights()[0]) / RATE
    found = np.asarray(pruner.state_dict()["memory/gradient/a:kernel"])
    np.testing.assert_allclose(found.reshape(6, 4).T, moved, rtol=2e-3, atol=1e-5)
    pruner.detach()


@pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")
def test_a_step_without_an_update_of_a_weight_has_no_gradient_of_it():
    model = keras.Sequential([keras.Input((3,))])
    for name in "abc":
        model.add(keras.layers.Dense(3, use_bias=False, name=name))
    a, b, c = model.trainable_variables
    one, two = sgd(), sgd()
    one.build([a, b])
    two.build([c])
    pruner = secateur.attach(model, policy(), optimizer=[one, two])
    for step in range(1, 5):
        gradient = keras.ops.full((3, 3), float(step))
        one.apply([gradient], [a if step % 2 else b])
        if step != 2:
            two.apply([gradient], [c])
        pruner.step()
        state = pruner.state_dict()
        found = [np.asarray(state[f"memory/gradient/{name}:kernel"]).max() for name in "abc"]
        assert found == [step * (step % 2), step * (1 - step % 2), step * (step != 2)]
    pruner.detach()


@pytest.mark.skipif(BACKEND == "torch", reason="Keras has no steps_per_execution there")
def test_the_gradient_at_an_update_of_the_masks_is_the_same_however_many_steps_run_at_once():
    found = []
    for at_once in (1, 2, 4):
        model = network(sgd(), steps_per_execution=at_once)
        pruner = secateur.attach(model, policy("asked_of_keras", 0.5, begin=4, frequency=4))
        fit(model, pruner)
        pruner.detach()
        found.append(dict(Asked.ranked))
        Asked.ranked.clear()
    assert sorted(found[0]) == [(f"{name}:kernel", step) for name in "ab" for step in (4, 8)]
    for other in found[1:]:
        for key, gradient in found[0].items():
            np.testing.assert_allclose(other[key], gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras has no steps_per_execution there")
def test_a_memory_with_several_steps_at_once_is_refused_by_attach_and_before_the_first_batch():
    model = network(sgd(), steps_per_execution=2)
    with pytest.raises(secateur.StateError, match="steps_per_execution=1"):
        secateur.attach(model, policy("movement"))
    model.compile(sgd(), "mse")
    pruner = secateur.attach(model, policy("movement"))
    model.compile(sgd(), "mse", steps_per_execution=2)
    with pytest.raises(secateur.StateError, match="steps_per_execution=1"):
        fit(model, pruner)
    assert pruner.current_step == 0
    pruner.detach()


def test_a_run_resumes_with_its_memory_bit_for_bit(tmp_path):
    def new():
        model = network(keras.optimizers.Adam(0.01))
        model.optimizer.build(model.trainable_variables)  # or Keras loads none of its moments
        return model, secateur.attach(model, policy("movement", 0.5, begin=3))

    def state_of(pruner):
        return {key: np.array(value) for key, value in pruner.state_dict().items()}

    def assert_equal(found, wanted):
        assert list(found) == list(wanted)
        for key, value in wanted.items():
            np.testing.assert_array_equal(found[key], value, key)

    model, whole = new()
    fit(model, whole)
    model.save_weights(tmp_path / "half.weights.h5")
    half = state_of(whole)
    fit(model, whole)
    model, resumed = new()
    model.load_weights(tmp_path / "half.weights.h5")
    assert_equal(state_of(resumed), half)
    fit(model, resumed)
    assert_equal(state_of(resumed), state_of(whole))
    assert half["memory/sum/a:kernel"].any()
    for pruner in (whole, resumed):
        pruner.detach()


def test_files_and_the_optimizer_are_as_ever(tmp_path):
    model = network(keras.optimizers.Adam(0.01))
    pruner = secateur.attach(model, policy("movement", 0.5))
    fit(model, pruner)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len(loaded.optimizer.variables) == 10
    assert int(loaded.optimizer.iterations.numpy() if BACKEND == "tensorflow" else 8) == 8
    pruner.detach()
    assert len(model.optimizer.variables) == 10
    assert not {"update_step", "_backend_update_step"} & vars(model.optimizer).keys()
    model.fit(X, Y, verbose=0)


def test_a_frozen_layer_is_noted_and_one_without_a_gradient_counts_as_zero():
    model = network(sgd())
    model.get_layer("a").trainable = False
    model.compile(sgd(), "mse")
    with pytest.warns(secateur.PolicyWarning, match="a:kernel is frozen"):
        pruner = secateur.attach(model, policy())
    fit(model, pruner)
    state = pruner.state_dict()
    assert not np.asarray(state["memory/gradient/a:kernel"]).any()
    assert np.asarray(state["memory/gradient/b:kernel"]).any()
    pruner.detach()


def test_a_criterion_without_needs_costs_nothing():
    model = network(sgd())
    pruner = secateur.attach(model, policy("magnitude", 0.5))
    fit(model, pruner)
    assert not {"update_step", "_backend_update_step"} & vars(model.optimizer).keys()
    pruner.detach()
