"""Code for TensorFlow Model Optimization, with its import alone changed."""

import copy

import keras
import numpy as np
import pytest
from keras import layers

import secateur
import secateur_keras.tfmot as tfmot
from secateur.errors import ModelError, PolicyError, PolicyWarning, ScheduleWarning

BACKEND = keras.backend.backend()
toolkit = tfmot.sparsity.keras


def _classifier():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(6, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(16, activation="relu", name="hidden"),
            layers.Dense(3, name="out"),
        ]
    )


def _zeros(model):
    return [round(float((w == 0).mean()), 3) for w in model.get_weights() if w.ndim > 1]


def _ramp(end=12, frequency=3, **changes):
    settings = {"initial_sparsity": 0.5, "final_sparsity": 0.8, "begin_step": 0, **changes}
    return toolkit.PolynomialDecay(end_step=end, frequency=frequency, **settings)


def test_the_example_of_the_toolkit_trains_strips_and_saves_a_plain_file(data, compile_, tmp_path):
    model = _classifier()
    pruned = toolkit.prune_low_magnitude(model, pruning_schedule=_ramp())
    assert not pruned.compiled
    with pytest.raises(ValueError, match="compile"):
        pruned.fit(*data())
    compile_(pruned)
    pruned.fit(*data(), batch_size=4, verbose=0, callbacks=[toolkit.UpdatePruningStep()])
    stripped = toolkit.strip_pruning(pruned)
    assert all(0.79 <= share <= 0.81 for share in _zeros(stripped))
    assert not stripped.compiled
    stripped.save(tmp_path / "pruned.keras")
    assert "secateur" not in str(stripped.get_config())
    assert _zeros(keras.models.load_model(tmp_path / "pruned.keras")) == _zeros(stripped)
    assert type(model.layers[0]) is layers.Conv2D
    assert model.layers[0] is pruned.layers[0]


def test_a_forgotten_callback_is_an_error_that_can_be_mended(data, compile_):
    pruned = toolkit.prune_low_magnitude(_classifier(), _ramp())
    compile_(pruned)
    before = [np.array(w) for w in pruned.get_weights()]
    with pytest.raises(ModelError, match=r"callbacks=\[tfmot\.sparsity\.keras\.UpdatePruningStep"):
        pruned.fit(*data(), batch_size=4, verbose=0)
    if BACKEND != "torch":  # where the first weights of the first update are changed already
        assert all(map(np.array_equal, before, pruned.get_weights()))
    pruned.fit(*data(), batch_size=4, verbose=0, callbacks=[toolkit.UpdatePruningStep()])
    assert all(0.79 <= share <= 0.81 for share in _zeros(pruned))


def test_a_marked_model_is_saved_with_its_mark_and_goes_on_where_it_was(data, compile_, tmp_path):
    pruned = toolkit.prune_low_magnitude(_classifier(), _ramp(end=24), sparsity_m_by_n=None)
    compile_(pruned)
    pruned.fit(*data(48), batch_size=4, verbose=0, callbacks=[toolkit.UpdatePruningStep()])
    reached = _zeros(pruned)
    pruned.save(tmp_path / "half.keras")
    pruned.save_weights(tmp_path / "half.weights.h5")
    with toolkit.prune_scope():
        loaded = keras.models.load_model(tmp_path / "half.keras")
    again = toolkit.prune_low_magnitude(_classifier(), _ramp(end=24))
    again.load_weights(tmp_path / "half.weights.h5")
    compile_(again)
    copied = copy.deepcopy(pruned)
    for model in (loaded, again, copied, pruned):
        assert _zeros(model) == reached
        model.fit(*data(48), batch_size=4, verbose=0, callbacks=[toolkit.UpdatePruningStep()])
        assert all(0.79 <= share <= 0.81 for share in _zeros(model))
        assert model.layers[0].kernel_constraint.progress.step == 24


def test_two_of_four_is_kept_in_a_file(data, compile_, tmp_path):
    inputs = keras.Input((8,))
    outputs = layers.Dense(3)(layers.Dense(12)(inputs))
    pruned = toolkit.prune_low_magnitude(
        keras.Model(inputs, outputs), _ramp(), sparsity_m_by_n=(2, 4)
    )
    pruned.save(tmp_path / "sets.keras")
    with toolkit.prune_scope():
        loaded = keras.models.load_model(tmp_path / "sets.keras")
    compile_(loaded)
    x, y = data()
    callback = toolkit.UpdatePruningStep()
    loaded.fit(x[:, 0, :, 0], y, batch_size=4, verbose=0, callbacks=callback)
    kernel = toolkit.strip_pruning(loaded).get_weights()[0]
    assert ((kernel.reshape(2, 4, 12) != 0).sum(axis=1) == 2).all()


def test_chosen_layers_in_a_clone_a_call_a_list_and_a_sequential(data, compile_):
    base = _classifier()
    x, y = data()

    def dense_alone(layer):
        return toolkit.prune_low_magnitude(layer) if isinstance(layer, layers.Dense) else layer

    cloned = keras.models.clone_model(base, clone_function=dense_alone)
    inputs = keras.Input((8, 8, 1))
    hidden = toolkit.prune_low_magnitude(layers.Dense(6), _ramp())(layers.Flatten()(inputs))
    called = keras.Model(inputs, layers.Dense(3)(hidden))
    listed = keras.Sequential(
        [
            layers.Flatten(),
            *toolkit.prune_low_magnitude([layers.Dense(9), layers.Dense(3)], _ramp()),
        ]
    )
    first = toolkit.prune_low_magnitude(layers.Conv2D(4, 3), input_shape=(8, 8, 1))
    layered = keras.Sequential([first, layers.Flatten(), layers.Dense(3)])
    assert layered.built
    expected = ([0.0, 0.5, 0.5], [0.8, 0.0], [0.8, 0.8], [0.5, 0.0])
    for model, sparsities in zip((cloned, called, listed, layered), expected, strict=True):
        compile_(model)
        if model is listed:
            model.build((None, 8, 8, 1))
        model.fit(x, y, batch_size=4, verbose=0, callbacks=[toolkit.UpdatePruningStep()])
        assert _zeros(toolkit.strip_pruning(model)) == pytest.approx(sparsities, abs=0.02)


class _Steps(toolkit.PruningSchedule):
    def __init__(self, first=4):
        self.first = first

    def __call__(self, step):
        due = self._should_prune_in_step(step, self.first, 12, 4)
        return due, 0.5 if step < 8 else 0.75

    def get_config(self):
        return {"class_name": type(self).__name__, "config": {"first": self.first}}


def test_a_schedule_of_ones_own_runs_reloads_and_is_written_as_values(data, compile_, tmp_path):
    pruned = toolkit.prune_low_magnitude(_classifier(), _Steps())
    compile_(pruned)
    pruned.fit(*data(), batch_size=4, verbose=0, callbacks=[toolkit.UpdatePruningStep()])
    assert all(0.74 <= share <= 0.76 for share in _zeros(pruned))
    pruned.save(tmp_path / "own.keras")
    with toolkit.prune_scope():
        loaded = keras.models.load_model(tmp_path / "own.keras")
    assert loaded.layers[0].kernel_constraint.settings.schedule.first == 4
    with pytest.raises(PolicyError, match="total_steps="):
        tfmot.to_policy(pruned, tmp_path / "own.toml")
    tfmot.to_policy(pruned, tmp_path / "own.toml", total_steps=16)
    schedule = secateur.Policy.load(tmp_path / "own.toml").schedule
    assert [step for step in range(17) if schedule.updates_at(step)] == [4, 8, 12]
    assert [schedule.sparsity(step) for step in (4, 8, 12)] == [0.5, 0.75, 0.75]


class _WithBias(layers.Dense, toolkit.PrunableLayer):
    def get_prunable_weights(self):
        return [self.kernel, self.bias]


@keras.saving.register_keras_serializable("tests")
class _Scaled(layers.Layer):
    """A layer of its own that names its weight without the base class."""

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], 4), name="w")

    def call(self, inputs):
        return keras.ops.matmul(inputs, self.w)

    def get_prunable_weights(self):
        return [self.w]


def test_a_layer_says_which_of_its_weights_are_pruned(data, compile_):
    x, y = data()
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Flatten(),
            toolkit.prune_low_magnitude(_WithBias(8, bias_initializer="normal"), _ramp()),
            toolkit.prune_low_magnitude(_Scaled(), _ramp()),
            layers.Dense(3),
        ]
    )
    compile_(model)
    model.fit(x, y, batch_size=4, verbose=0, callbacks=[toolkit.UpdatePruningStep()])
    kernel, bias, scaled = (toolkit.strip_pruning(model).get_weights())[:3]
    assert [int((w != 0).sum()) for w in (kernel, bias, scaled)] == [102, 2, 6]


def test_layers_and_models_that_the_toolkit_refuses_are_pruned(data, compile_):
    class Plain(layers.Dense):
        pass

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.rnn = layers.Bidirectional(layers.LSTM(4))
            self.scale, self.out = layers.Rescaling(2.0), Plain(3)

        def call(self, inputs):
            return self.out(self.rnn(self.scale(inputs[..., 0])))

    model = Subclassed()
    x, y = data()
    model(x[:2])
    assert toolkit.prune_low_magnitude(model, block_size=(1, 16)) is model
    compile_(model)
    model.fit(x, y, batch_size=16, verbose=0, callbacks=[toolkit.UpdatePruningStep()])
    assert _zeros(model) == pytest.approx([0.5] * 5, abs=0.1)
    assert toolkit.strip_pruning(model) is model


def test_a_pruning_policy_chooses_layers_and_the_written_policy_says_the_same(data, tmp_path):
    class NotTheLast(toolkit.PruningPolicy):
        def allow_pruning(self, layer):
            return layer.name != "out"

        def ensure_model_supports_pruning(self, model):
            if not model.built:
                raise ValueError("not built")

    with pytest.raises(ValueError, match="not built"):
        toolkit.prune_low_magnitude(
            keras.Sequential([layers.Dense(2)]), pruning_policy=NotTheLast()
        )
    settings = {"block_size": [4, 2], "block_pooling_type": "MAX"}
    pruned = toolkit.prune_low_magnitude(
        _classifier(), _ramp(), pruning_policy=NotTheLast(), **settings
    )
    policy = tfmot.to_policy(pruned, tmp_path / "policy.toml")
    assert policy == pruned.secateur_policy == secateur.Policy.load(tmp_path / "policy.toml")
    report = secateur.prune(_classifier(), tmp_path / "policy.toml")
    assert set(report.masks) == {"conv:kernel", "hidden:kernel"}
    pattern = policy.rules[0].pattern
    assert (pattern.out, pattern.in_, pattern.pooling) == (2, 4, "max")


def test_a_weight_that_is_too_small_for_its_sparsity_keeps_one():
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dense(2, name="few"), layers.Dense(40, name="many")]
    )
    constant = toolkit.ConstantSparsity(0.95, 0)
    for schedule in (constant, _ramp(final_sparsity=0.9)):
        policy = tfmot.to_policy(toolkit.prune_low_magnitude(model, schedule))
        report = secateur.prune(keras.models.clone_model(model), policy)
        kept = {name: int(mask.sum()) for name, mask in report.masks.items()}
        assert kept == {"few:kernel": 1, "many:kernel": 4 if schedule is constant else 8}


@pytest.mark.any_backend
def test_wrong_settings_are_value_errors_as_in_the_toolkit():
    for broken in (
        lambda: toolkit.ConstantSparsity(1.0, 0),
        lambda: toolkit.ConstantSparsity(0.5, -1),
        lambda: toolkit.PolynomialDecay(0.1, 0.5, 0, -1),
        lambda: toolkit.PolynomialDecay(0.1, 0.5, 10, 5),
        lambda: toolkit.PolynomialDecay(0.1, 0.5, 0, 5, frequency=0),
        lambda: toolkit.PolynomialDecay(0.1, 0.5, 0, 5.5),
        lambda: toolkit.prune_low_magnitude(layers.Dense(2), block_pooling_type="MIN"),
        lambda: toolkit.prune_low_magnitude(layers.Dense(2), block_size=(0, 2)),
        lambda: toolkit.prune_low_magnitude(layers.Dense(2), sparsity_m_by_n=(4, 2)),
        lambda: toolkit.prune_low_magnitude(layers.Dense(2), sparsity_m_by_n=2),
        lambda: toolkit.prune_low_magnitude(layers.Dense(2), 0.5),
        lambda: toolkit.prune_low_magnitude(layers.Dense(2), unknown=3),
        lambda: toolkit.prune_low_magnitude("model"),
        lambda: toolkit.strip_pruning(layers.Dense(2)),
        lambda: toolkit.PruningSummaries(""),
    ):
        with pytest.raises(ValueError, match=r"."):
            broken()
    with pytest.raises(AttributeError, match="from-tfmot"):
        tfmot.quantization  # noqa: B018


def test_a_model_without_marks_is_not_pruned_in_silence(data, compile_):
    model = _classifier()
    compile_(model)
    with pytest.warns(PolicyWarning, match="no layer"):
        model.fit(*data(), batch_size=16, verbose=0, callbacks=[toolkit.UpdatePruningStep()])


@pytest.mark.skipif(BACKEND != "tensorflow", reason="elsewhere fit() builds a model first")
def test_a_model_that_is_not_built_is_refused_with_what_to_do(data, compile_):
    pruned = toolkit.prune_low_magnitude(keras.Sequential([layers.Flatten(), layers.Dense(3)]))
    compile_(pruned)
    with pytest.raises(ModelError, match=r"model\.build\(input_shape\)"):
        pruned.fit(*data(), verbose=0, callbacks=[toolkit.UpdatePruningStep()])


def test_strip_says_so_when_the_schedule_has_not_ended_and_leaves_the_model_pruned(data, compile_):
    pruned = toolkit.prune_low_magnitude(_classifier(), _ramp(end=40))
    compile_(pruned)
    callbacks = [toolkit.UpdatePruningStep()]
    pruned.fit(*data(), batch_size=4, verbose=0, callbacks=callbacks)
    with pytest.warns(ScheduleWarning, match=r"final sparsity is 0\.8"):
        toolkit.strip_pruning(pruned)
    pruned.fit(*data(128), batch_size=4, verbose=0, callbacks=callbacks)
    assert all(0.79 <= share <= 0.81 for share in _zeros(toolkit.strip_pruning(pruned)))


def test_pruning_a_base_again_takes_the_new_settings_and_layers_marked_by_themselves_stay():
    base = _classifier()
    toolkit.prune_low_magnitude(base.get_layer("out"), toolkit.ConstantSparsity(0.25, 0))
    for sparsity in (0.5, 0.75):
        pruned = toolkit.prune_low_magnitude(base, toolkit.ConstantSparsity(sparsity, 0))
        schedules = [layer.kernel_constraint for layer in base.layers if "flat" not in layer.name]
        found = [guard.settings.schedule.target_sparsity for guard in schedules]
        assert found == [sparsity, sparsity, 0.25]
    again = toolkit.prune_low_magnitude(pruned, toolkit.ConstantSparsity(0.9, 0))
    assert again.layers[0].kernel_constraint.settings.schedule.target_sparsity == 0.75


@pytest.mark.skipif(BACKEND == "jax", reason="there a loop takes and returns the values")
def test_a_loop_of_ones_own_calls_the_callback_itself(data):
    pruned = toolkit.prune_low_magnitude(_classifier(), _ramp(end=8, frequency=2))
    optimizer = keras.optimizers.Adam()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    x, y = data(20)
    for own in (True, False):
        if own:
            pruned.optimizer = optimizer
        callback = toolkit.UpdatePruningStep()
        callback.set_model(pruned)
        callback.on_train_begin()
        for _ in range(2):
            for start in range(0, 20, 4):
                callback.on_train_batch_begin(batch=-1)
                _update(pruned, optimizer, loss, x[start : start + 4], y[start : start + 4])
            callback.on_epoch_end(batch=-1)
    assert pruned.layers[0].kernel_constraint.progress.step == 20
    assert all(0.79 <= share <= 0.81 for share in _zeros(toolkit.strip_pruning(pruned)))


def _update(model, optimizer, loss, x, y):
    variables = model.trainable_variables
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        gradients = tape.gradient(value, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return
    import torch

    model.zero_grad()
    loss(torch.tensor(y), model(x, training=True)).backward()
    with torch.no_grad():
        optimizer.apply([variable.value.grad for variable in variables], variables)
