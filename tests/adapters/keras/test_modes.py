"""Every way of training with fit(): each optimizer update is one step, and masks hold."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import secateur
from secateur.errors import ScheduleWarning

EACH_STEP = {
    "schedule": {
        "kind": "linear",
        "initial_sparsity": 0.1,
        "final_sparsity": 0.9,
        "end_step": 12,
        "frequency": 1,
    }
}
EVERY_THIRD = {"schedule": EACH_STEP["schedule"] | {"frequency": 3}}
CONSTANT = {"schedule": {"kind": "constant", "final_sparsity": 0.75}}
BACKEND = keras.backend.backend()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # inside torch.compile
@pytest.mark.parametrize("jit", [False, True])
def test_changing_masks_reach_the_compiled_step(jit, network, compile_, fit):
    model = network()
    compile_(model, jit_compile=jit)
    watch = fit(model, secateur.attach(model, EACH_STEP))
    assert len(set(watch.sparsities)) == 12
    assert watch.steps == list(range(1, 17))


def test_run_eagerly(network, compile_, fit):
    model = network()
    compile_(model, run_eagerly=True)
    assert fit(model, secateur.attach(model, EVERY_THIRD)).steps == list(range(1, 17))


if BACKEND != "torch":  # which has one step an execution, by Keras's own rule

    def test_steps_per_execution_reports_several_steps_at_once(network, compile_, fit):
        model = network()
        compile_(model, steps_per_execution=5)
        pruner = secateur.attach(model, EVERY_THIRD)
        watch = fit(model, pruner)
        assert watch.steps == [5, 10, 15, 16]
        schedule = pruner.plan.rule_weights[0].method.schedule
        # Of the steps 1 to 5 the latest that is due is 3, of 6 to 10 it is 9, of 11 to 15 it is 12.
        wanted = [schedule.sparsity(step) for step in (3, 9, 12, 12)]
        assert watch.sparsities == pytest.approx(wanted, abs=0.01)

    def test_masks_hold_inside_an_execution_of_several_steps(network, compile_, fit):
        results = []
        for several in (1, 4):
            keras.utils.set_random_seed(5)
            model = network()
            compile_(model, keras.optimizers.SGD(0.05, momentum=0.9), steps_per_execution=several)
            fit(model, secateur.attach(model, CONSTANT))
            results.append(model.get_weights())
        assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(*results, strict=True))


def test_gradient_accumulation_makes_one_step_of_several_batches(network, compile_, fit):
    model = network()
    compile_(model, keras.optimizers.Adam(0.01, gradient_accumulation_steps=4))
    pruner = secateur.attach(model, EACH_STEP)
    watch = fit(model, pruner)
    assert watch.steps == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4]


def test_update_skipped_for_loss_scaling_is_no_step(network, data, compile_):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy("float32")
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01))
    compile_(model, optimizer)
    pruner = secateur.attach(model, EACH_STEP)
    x, y = data(40)
    x[8:12] = x[20:24] = np.inf
    steps = []

    class Steps(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            steps.append(pruner.current_step)

    model.fit(x, y, batch_size=4, verbose=0, shuffle=False, callbacks=[pruner.callback(), Steps()])
    assert steps == [1, 2, 2, 3, 4, 4, 5, 6, 7, 8]
    assert pruner.report().sparsity > 0.6


@pytest.mark.parametrize("name", ["SGD", "AdamW", "RMSprop", "Adagrad", "Lion"])
def test_momentum_and_weight_decay_bring_no_weight_back(name, network, compile_, fit):
    model = network()
    kind = getattr(keras.optimizers, name)
    compile_(model, kind(0.01, momentum=0.9) if name == "SGD" else kind(0.01, weight_decay=0.1))
    fit(model, secateur.attach(model, EVERY_THIRD))


def test_moving_averages_are_masked_too(network, compile_, fit, held):
    model = network()
    compile_(model, keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5))
    pruner = secateur.attach(model, EVERY_THIRD)
    fit(model, pruner)
    # At its end, fit() has replaced the weights by their averages.
    held(pruner)
    assert (np.asarray(model.get_weights()[0]) == 0).mean() > 0.85


def test_weights_overwritten_by_moving_averages_stay_masked(network, compile_, fit):
    model = network()
    optimizer = keras.optimizers.SGD(
        0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3
    )
    compile_(model, optimizer)
    fit(model, secateur.attach(model, EVERY_THIRD))


def test_frozen_layer_is_pruned_and_stays_so(network, compile_, fit):
    model = network()
    model.get_layer("hidden").trainable = False
    before = model.get_layer("hidden").get_weights()[0]
    compile_(model)
    pruner = secateur.attach(model, CONSTANT)
    fit(model, pruner)
    after = model.get_layer("hidden").get_weights()[0]
    assert (after == 0).mean() == 0.75
    assert np.array_equal(after, before * (after != 0))


def test_layer_frozen_after_attach_stays_masked(network, compile_, fit):
    model = network()
    pruner = secateur.attach(model, CONSTANT)
    model.get_layer("hidden").trainable = False
    compile_(model)
    fit(model, pruner)


def test_two_fits_and_a_new_compile_count_on(network, compile_, fit):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, EVERY_THIRD)
    assert fit(model, pruner, batches=5).steps[-1] == 5
    assert fit(model, pruner, batches=4).steps[-1] == 9
    compile_(model, "sgd")
    assert fit(model, pruner, batches=6).steps[-1] == 15
    assert pruner.report().sparsity == pytest.approx(0.9, abs=0.01)


def test_validation_and_inference_change_no_weight(network, data, compile_, fit):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, EVERY_THIRD)
    fit(model, pruner, validation_data=data(8))
    before = model.get_weights()
    model.predict(data(8)[0], verbose=0)
    model.evaluate(*data(8), verbose=0)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_shared_layer_takes_one_step_an_update():
    shared = layers.Dense(4, name="shared")
    x = keras.Input((4,))
    model = keras.Model(x, shared(shared(x)))
    model.compile("adam", "mse")
    pruner = secateur.attach(model, EVERY_THIRD)
    z = np.ones((12, 4), "float32")
    model.fit(z, z, batch_size=2, verbose=0, callbacks=[pruner.callback()])
    assert pruner.current_step == 6


def test_pruned_model_inside_the_one_that_is_trained(network, compile_, data, held):
    inner = network()
    pruner = secateur.attach(inner, EACH_STEP)
    x = keras.Input((8, 8, 1))
    outer = keras.Model(x, inner(x))
    compile_(outer)
    outer.fit(*data(), batch_size=4, verbose=0, callbacks=[pruner.callback()])
    assert pruner.current_step == 16
    held(pruner)


def test_embedding_with_sparse_gradients_stays_masked():
    model = keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            layers.Embedding(20, 4),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    pruner = secateur.attach(model, CONSTANT)
    x = np.random.default_rng(0).integers(0, 20, (40, 3))
    model.fit(x, x.sum(1), batch_size=4, verbose=0, callbacks=[pruner.callback()])
    table = model.layers[0].get_weights()[0]
    assert (table == 0).sum() == 60


def test_recurrent_layers_stay_masked_through_backpropagation_in_time():
    model = keras.Sequential(
        [
            keras.Input((5, 3)),
            layers.Bidirectional(layers.GRU(4, return_sequences=True)),
            layers.LSTM(4),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    pruner = secateur.attach(model, EVERY_THIRD)
    x = np.random.default_rng(0).normal(size=(28, 5, 3)).astype("float32")
    model.fit(x, x[:, 0, :1], batch_size=2, verbose=0, callbacks=[pruner.callback()])
    assert pruner.report().sparsity == pytest.approx(0.9, abs=0.02)
    for weight in pruner._binding.binding.weights:
        assert not weight.read()[~pruner.masks[weight.spec.name]].any()


def test_fit_that_updates_nothing_warns_that_the_schedule_did_not_move(network, data, compile_):
    class Still(keras.Sequential):
        def train_step(self, *args):
            return ({"loss": 0.0}, args[0]) if BACKEND == "jax" else {"loss": 0.0}

    model = Still(network().layers)
    model.build((None, 8, 8, 1))
    compile_(model, run_eagerly=True)
    pruner = secateur.attach(model, EACH_STEP)
    with pytest.warns(ScheduleWarning, match="16 batches were trained and the optimizer made no"):
        model.fit(*data(), batch_size=4, verbose=0, callbacks=[pruner.callback()])


def test_schedule_that_waits_for_the_loss_is_told_the_loss(network, compile_, fit):
    model = network()
    compile_(model)
    policy = {
        "schedule": {
            "kind": "constant",
            "final_sparsity": 0.5,
            "begin_when": {"monitor": "loss", "window": 2, "min_delta": 10.0},
        }
    }
    watch = fit(model, secateur.attach(model, policy))
    assert watch.sparsities[0] == 0
    assert watch.sparsities[-1] == pytest.approx(0.5, abs=0.01)


def test_optimizer_must_be_one_of_keras(network):
    with pytest.raises(secateur.ModelError, match="takes a Keras optimizer"):
        secateur.attach(network(), CONSTANT, optimizer=ops)


@pytest.mark.skipif(
    not hasattr(keras.optimizers, "MultiOptimizer"), reason="this Keras has no MultiOptimizer"
)
@pytest.mark.parametrize("options", [{"use_ema": True}, {"gradient_accumulation_steps": 4}])
def test_the_parts_of_a_multi_optimizer_are_looked_at(options, network, compile_, fit, held):
    optimizers = keras.optimizers
    parts = optimizers.OptimizerMap(
        optimizers.Adam(0.01, **options), {".*hidden.*": optimizers.SGD(0.01, **options)}
    )
    model = network()
    compile_(model, optimizers.MultiOptimizer(parts))
    pruner = secateur.attach(model, EACH_STEP)
    fit(model, pruner)
    held(pruner)  # averages were put in place of the weights at the end
    assert pruner.current_step == (4 if "gradient_accumulation_steps" in options else 16)
