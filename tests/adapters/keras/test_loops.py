"""Custom loops: train_step, two optimizers, and pruner.step() on each backend."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import secateur
from secateur.errors import StateWarning

BACKEND = keras.backend.backend()
POLICY = {
    "schedule": {
        "kind": "linear",
        "initial_sparsity": 0.1,
        "final_sparsity": 0.9,
        "end_step": 10,
        "frequency": 2,
    }
}


def net(*units, name="net"):
    dense = [layers.Dense(n, name=f"d{i}") for i, n in enumerate(units)]
    return keras.Sequential([keras.Input((6,)), *dense], name=name)


def batches(count=12):
    rng = np.random.default_rng(0)
    return [
        (rng.normal(size=(4, 6)).astype("float32"), rng.normal(size=(4, 3)).astype("float32"))
        for _ in range(count)
    ]


def stacked():
    return (np.concatenate(part) for part in zip(*batches(), strict=True))


def mse(y, out):
    return ops.mean(ops.square(y - out))


if BACKEND == "tensorflow":
    import tensorflow as tf

    def make_loop(model, optimizer, pruner, compiled):
        def update(x, y):
            with tf.GradientTape() as tape:
                loss = mse(y, model(x, training=True))
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply(gradients, model.trainable_variables)

        update = tf.function(update) if compiled else update

        def loop(check):
            for x, y in batches():
                update(x, y)
                pruner.step()
                check()

        return loop

elif BACKEND == "jax":
    import jax

    def make_loop(model, optimizer, pruner, compiled):
        def loss_of(trained, other, x, y):
            out, other = model.stateless_call(trained, other, x)
            return mse(y, out), other

        def update(state, x, y):
            trained, other, own = state
            gradients, other = jax.grad(loss_of, has_aux=True)(trained, other, x, y)
            trained, own = optimizer.stateless_apply(own, gradients, trained)
            return trained, other, own

        update = jax.jit(update) if compiled else update

        def variables():
            return model.trainable_variables, model.non_trainable_variables, optimizer.variables

        def loop(check):
            for x, y in batches():
                state = [[v.value for v in part] for part in variables()]
                for part, values in zip(variables(), update(state, x, y), strict=True):
                    for variable, value in zip(part, values, strict=True):
                        variable.assign(value)
                pruner.step()
                check()

        return loop

else:
    import torch

    def make_loop(model, optimizer, pruner, compiled):
        def loop(check):
            for x, y in batches():
                model.zero_grad()
                mse(torch.from_numpy(y), model(x, training=True)).backward()
                gradients = [v.value.grad for v in model.trainable_variables]
                with torch.no_grad():
                    optimizer.apply(gradients, model.trainable_variables)
                pruner.step()
                check()

        return loop


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_loop_of_ones_own_calls_step(compiled, given, held):
    model = net(8, 3)
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(model.trainable_variables)
    pruner = secateur.attach(model, POLICY, optimizer=optimizer if given else None)
    make_loop(model, optimizer, pruner, compiled)(lambda: held(pruner))
    assert pruner.current_step == 12
    assert pruner.report().sparsity == pytest.approx(0.9, abs=0.01)


def test_step_that_was_compiled_before_attach_is_masked_by_pruner_step(held):
    model = net(8, 3)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(model.trainable_variables)

    class Later:
        pruner = None

        def step(self):
            if self.pruner:
                self.pruner.step()

    later = Later()
    loop = make_loop(model, optimizer, later, True)
    loop(lambda: None)
    later.pruner = secateur.attach(model, POLICY)
    loop(lambda: held(later.pruner))


def test_forgotten_step_is_reported_when_the_optimizer_is_known():
    model = net(8, 3)
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(model.trainable_variables)
    pruner = secateur.attach(model, POLICY, optimizer=optimizer)

    class Never:
        def step(self):
            pass

    make_loop(model, optimizer, Never(), False)(lambda: None)
    assert "12 updates and the schedule never moved" in pruner.report().notes[0]


def test_train_on_batch_with_pruner_step(held):
    model = net(8, 3)
    model.compile("adam", "mse")
    pruner = secateur.attach(model, POLICY)
    for x, y in batches():
        model.train_on_batch(x, y)
        pruner.step()
        held(pruner)


if BACKEND == "torch":

    def test_torch_optimizer_on_a_keras_model(held):
        model = net(8, 3)
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        pruner = secateur.attach(model, POLICY)
        for x, y in batches():
            optimizer.zero_grad()
            mse(torch.from_numpy(y), model(x, training=True)).backward()
            optimizer.step()
            pruner.step()
            held(pruner)


if BACKEND == "tensorflow":

    class Custom(keras.Sequential):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = mse(y, self(x, training=True))
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss}

elif BACKEND == "jax":

    class Custom(keras.Sequential):
        def train_step(self, state, data):
            trained, other, own, metrics = state
            x, y = data

            def loss_of(trained):
                out, updated = self.stateless_call(trained, other, x)
                return mse(y, out), updated

            (loss, other), gradients = jax.value_and_grad(loss_of, has_aux=True)(trained)
            trained, own = self.optimizer.stateless_apply(own, gradients, trained)
            return {"loss": loss}, (trained, other, own, metrics)

else:

    class Custom(keras.Sequential):
        def train_step(self, data):
            x, y = data
            self.zero_grad()
            loss = mse(y, self(x, training=True))
            loss.backward()
            gradients = [v.value.grad for v in self.trainable_variables]
            with torch.no_grad():
                self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss}


def test_custom_train_step(held):
    model = Custom(net(8, 3).layers)
    model.build((None, 6))
    model.compile("adam")
    pruner = secateur.attach(model, POLICY)

    class Check(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            held(pruner)

    model.fit(*stacked(), batch_size=4, verbose=0, callbacks=[pruner.callback(), Check()])
    assert pruner.current_step == 12


class ChangesAgain(keras.Sequential):
    """Adds to every weight after the optimizer's update."""

    def train_step(self, *arguments):
        done = super().train_step(*arguments)
        if BACKEND == "jax":
            logs, (trained, *rest) = done
            return logs, ([value + 1 for value in trained], *rest)
        for variable in self.trainable_variables:
            variable.assign(variable + 1)
        return done


def test_weights_that_a_train_step_changes_after_the_update_are_masked_again(held):
    model = ChangesAgain(net(8, 3).layers)
    model.build((None, 6))
    model.compile("adam", "mse", jit_compile=False)
    pruner = secateur.attach(model, POLICY)

    class Check(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            assert self.model is not None  # brings the variables up to date on JAX
            held(pruner)

    model.fit(*stacked(), batch_size=4, verbose=0, callbacks=[pruner.callback(), Check()])
    assert pruner.current_step == 12


if BACKEND == "jax":

    def test_a_loop_that_keeps_its_state_outside_the_model_is_told():
        model = net(8, 3)
        optimizer = keras.optimizers.Adam(0.01)
        optimizer.build(model.trainable_variables)
        pruner = secateur.attach(model, POLICY)

        def update(state, x, y):
            def loss(trained):
                return mse(y, model.stateless_call(trained, [], x)[0])

            return optimizer.stateless_apply(state[1], jax.grad(loss)(state[0]), state[0])

        state = [[v.value for v in part.variables] for part in (model, optimizer)]
        first, second = batches(2)
        state = update(state, *first)
        with pytest.warns(StateWarning, match=r"assign the new values .* before pruner\.step"):
            pruner.step()
        for variable, value in zip(model.variables, update(state, *second)[0], strict=True):
            variable.assign(value)
        pruner.step()


if BACKEND == "tensorflow":

    def test_two_optimizers_of_a_model_that_only_holds_its_parts(held):
        class Pair(keras.Model):
            def __init__(self):
                super().__init__()
                self.one, self.two = net(4, 3, name="one"), net(5, 3, name="two")
                self.first, self.second = keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.01)

            def train_step(self, data):
                x, y = data
                with tf.GradientTape(persistent=True) as tape:
                    loss = mse(y, self.one(x) + self.two(x))
                for optimizer, part in ((self.first, self.one), (self.second, self.two)):
                    variables = part.trainable_variables
                    optimizer.apply(tape.gradient(loss, variables), variables)
                return {"loss": loss}

        model = Pair()
        model.compile()
        pruner = secateur.attach(model, POLICY, optimizer=[model.first, model.second])
        model.fit(*stacked(), batch_size=4, verbose=0, callbacks=[pruner.callback()])
        assert pruner.current_step == 12
        held(pruner)


def test_model_without_an_optimizer_says_what_to_give():
    model = net(8, 3)
    pruner = secateur.attach(model, POLICY)
    callback = pruner.callback()
    callback.set_model(model)
    with pytest.raises(secateur.ModelError, match="give optimizer= to"):
        callback.on_train_begin()
