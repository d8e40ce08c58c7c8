"""fit() under pruning: masks are exact after every update, however the step is compiled."""

import keras
import numpy as np
import pytest
from keras import layers

import secateur
from secateur.errors import ScheduleWarning

POLICY = {
    "schedule": {
        "kind": "polynomial",
        "initial_sparsity": 0.2,
        "final_sparsity": 0.8,
        "begin_step": 2,
        "end_step": 14,
        "frequency": 3,
    }
}


def test_masks_follow_the_schedule_and_hold_after_every_batch(network, compile_, fit):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, POLICY)
    watch = fit(model, pruner)
    sizes = [weight.size for weight in pruner.report().weights]
    expected = sum(round(n * 0.8) for n in sizes) / sum(sizes)
    assert watch.sparsities[0] == 0
    assert watch.sparsities == sorted(watch.sparsities)
    assert len(set(watch.sparsities)) == 6
    assert watch.sparsities[-1] == pytest.approx(expected, abs=1e-3)
    assert pruner.current_step == 16
    assert pruner.report().notes == ()


def test_attach_before_compile_is_the_same_as_after(network, compile_, fit):
    weights = []
    for early in (True, False):
        keras.utils.set_random_seed(3)
        model = network()
        if early:
            pruner = secateur.attach(model, POLICY)
        compile_(model)
        if not early:
            pruner = secateur.attach(model, POLICY)
        fit(model, pruner)
        weights.append(model.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


def test_attach_after_a_fit_reaches_the_step_that_was_already_compiled(
    network, data, compile_, fit
):
    model = network()
    compile_(model)
    model.fit(*data(), batch_size=4, verbose=0)
    pruner = secateur.attach(model, POLICY)
    fit(model, pruner)
    assert pruner.current_step == 16


def test_forgotten_callback_is_reported_with_what_to_add(network, data, compile_):
    model = network()
    compile_(model)
    pruner = secateur.attach(model, POLICY)
    model.fit(*data(), batch_size=4, verbose=0)
    assert pruner.current_step == 0
    assert "callbacks=[pruner.callback()]" in pruner.report().notes[0]
    with pytest.warns(ScheduleWarning, match="16 updates and the schedule never moved"):
        pruner.state_dict()
    with pytest.warns(ScheduleWarning) as warned:
        pruner.detach()
    assert "never moved" in str(warned[0].message)


def test_the_model_stays_itself(network, compile_, fit):
    model = network()
    compile_(model)
    kind, names = type(model), [v.path for v in model.variables]
    config = model.get_config()
    pruner = secateur.attach(model, POLICY)
    fit(model, pruner)
    assert type(model) is kind
    assert [v.path for v in model.variables] == names
    assert model.get_config() == config


def test_users_own_constraint_runs_first_and_comes_back_after_detach(data, compile_):
    class Count(keras.constraints.Constraint):
        calls = 0

        def __call__(self, w):
            Count.calls += 1
            return keras.ops.clip(w, -0.05, 0.05)

    own = Count()
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(16, kernel_constraint=own), layers.Dense(3)]
    )
    compile_(model, run_eagerly=True)
    pruner = secateur.attach(model, {"schedule": {"kind": "constant", "final_sparsity": 0.5}})
    x, y = data(8)
    model.fit(x[:, 0, :, 0], y, batch_size=4, verbose=0, callbacks=[pruner.callback()])
    kernel = model.layers[0].kernel
    assert Count.calls == 2
    assert np.abs(kernel.numpy()).max() <= np.float32(0.05)
    assert (kernel.numpy() == 0).sum() == 64
    pruner.detach()
    assert kernel.constraint is own


def test_second_pruner_on_a_model_is_refused_until_the_first_is_detached(network, compile_):
    model = network()
    compile_(model)
    half = {"schedule": {"kind": "constant", "final_sparsity": 0.5}}
    first = secateur.attach(model, half)
    with pytest.raises(secateur.ModelError, match=r"another pruner.*detach"):
        secateur.attach(model, POLICY)
    first.detach()
    assert secateur.attach(model, half).current_step == 0
