"""What is done to a model after attach: notes name the weight, and detach lets go."""

import keras
import numpy as np
import pytest
from keras import layers

import secateur

POLICY = {"schedule": {"kind": "constant", "final_sparsity": 0.75}}


def pair():
    model = keras.Sequential(
        [keras.Input((16,)), layers.Dense(16, name="one"), layers.Dense(16, name="two")]
    )
    model.compile("sgd", "mse")
    return model


def pop(model):
    model.pop()


def replace(model):
    model.pop()
    model.add(layers.Dense(16, name="two"))


def build_again(model):
    layer = model.get_layer("two")
    layer._tracker.unlock()
    layer.built = False
    layer.build((None, 16))


def enable_lora(model):
    model.get_layer("two").enable_lora(2)


def quantize(model):
    model.get_layer("two").quantize("int8")


CHANGES = {f.__name__: f for f in (pop, replace, build_again, enable_lora, quantize)}
WORDS = {"enable_lora": "LoRA", "quantize": "quantized to int8"}


@pytest.mark.parametrize("change", CHANGES)
def test_a_weight_that_is_no_more_is_noted_and_not_trained(change):
    model = pair()
    pruner = secateur.attach(model, POLICY)
    CHANGES[change](model)
    notes = notes_of(pruner)
    assert list(notes) == ["two:kernel"]
    assert WORDS.get(change, "not in the model any more") in notes["two:kernel"]
    assert "detach()" in notes["two:kernel"]
    x = np.ones((4, 16), "float32")
    model.compile("sgd", "mse")
    with pytest.raises(secateur.ModelError, match=r"two:kernel.*detach"):
        model.fit(x, x, verbose=0, callbacks=[pruner.callback()])
    with pytest.warns(secateur.StateWarning, match="cannot be any more"):
        pruner.detach()
    assert not pruner.attached
    assert model.get_layer("one").kernel.constraint is None
    assert not hasattr(model, "secateur_state")
    again = secateur.attach(model, POLICY)
    assert "one:kernel" in again.masks


@pytest.mark.parametrize("change", CHANGES)
def test_a_report_raises_nothing(change):
    model = pair()
    pruner = secateur.attach(model, POLICY)
    CHANGES[change](model)
    assert pruner.report().step == 0


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have:UserWarning")
def test_a_whole_model_that_is_quantized_after_pruning_keeps_its_zeros():
    model = pair()
    pruner = secateur.attach(model, POLICY)
    model.quantize("int8")
    assert set(notes_of(pruner)) == {"one:kernel", "two:kernel"}
    with pytest.warns(secateur.StateWarning, match="cannot be any more"):
        pruner.detach()
    for layer in model.layers:
        kernel = keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(layer._kernel))
        assert (kernel == 0).mean() >= 0.75


class Tables(keras.Model):
    def __init__(self):
        super().__init__()
        self.one, self.two = layers.Embedding(6, 4, name="one"), layers.Embedding(6, 4, name="two")

    def call(self, x):
        return self.one(x) + self.two(x)


def tables():
    model = Tables()
    model(np.zeros((1, 2), "int32"))
    return model


def test_a_weight_that_is_tied_or_untied_later_is_noted():
    model = tables()
    pruner = secateur.attach(model, POLICY)
    kept = model.two._embeddings
    tie = model.one._embeddings
    object.__setattr__(model.two, "_embeddings", tie)  # as older code does in build()
    assert "cannot be any more" in notes_of(pruner)["two:embedding"]
    with pytest.warns(secateur.StateWarning, match="cannot be any more"):
        pruner.detach()
    pruner = secateur.attach(model, POLICY)
    assert pruner.plan.rule_weights[0].specs[0].aliases == ("two:embedding",)
    assert not notes_of(pruner)
    object.__setattr__(model.two, "_embeddings", kept)
    notes = notes_of(pruner)
    assert list(notes) == ["two:embedding"]
    assert "no longer shares one:embedding" in notes["two:embedding"]


def test_a_model_that_is_as_it_was_has_no_notes():
    model = pair()
    pruner = secateur.attach(model, POLICY)
    assert not notes_of(pruner)
    x = np.ones((4, 16), "float32")
    model.fit(x, x, verbose=0, callbacks=[pruner.callback()])
    assert not notes_of(pruner)


def test_a_model_that_cannot_be_read_is_noted(monkeypatch):
    model = pair()
    pruner = secateur.attach(model, POLICY)

    def fail(self, *args, **kwargs):
        raise RuntimeError("gone")

    monkeypatch.setattr(type(model), "_flatten_layers", fail)
    assert all("gone" in note for note in notes_of(pruner).values())
    assert len(notes_of(pruner)) == 2


def notes_of(pruner):
    return pruner._binding.model_changes()
