"""Where weights are found: nested, shared, tied, wrapped and custom layers; what is skipped."""

import keras
import numpy as np
import pytest
from keras import layers

import secateur
from secateur.adapter import NORMALIZATION
from secateur.layout import DENSE_IN_OUT
from secateur_keras.plugin import KerasAdapter

HALF = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
bind = KerasAdapter().bind
pytestmark = pytest.mark.any_backend


def names(model):
    return [weight.spec.name for weight in bind(model).weights]


def skipped(model):
    return {one.name: one.reason for one in bind(model).skipped}


def block(name):
    x = keras.Input((4,))
    return keras.Model(x, layers.Dense(4, name="ffn")(x), name=name)


def test_nested_models_give_their_names_to_the_path():
    x = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="ffn")], name="decoder")
    model = keras.Model(x, inner(block("encoder")(x)))
    assert names(model) == ["encoder.ffn:kernel", "decoder.ffn:kernel"]


def test_layers_of_a_subclassed_model_come_in_the_order_they_were_made():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.stem = layers.Conv2D(2, 3, name="stem")
            self.blocks = [layers.Dense(3, name=f"block{i}") for i in range(2)]
            self.heads = {"a": layers.Dense(1, name="head_a"), "b": layers.Dense(1, name="head_b")}

        def call(self, x):
            x = keras.ops.mean(self.stem(x), (1, 2))
            for layer in self.blocks:
                x = layer(x)
            return {name: head(x) for name, head in self.heads.items()}

    model = Net()
    model(np.zeros((1, 5, 5, 1), "float32"))
    expected = ["stem", "block0", "block1", "head_a", "head_b"]
    assert names(model) == [f"{name}:kernel" for name in expected]


def test_siblings_of_one_name_are_told_apart():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.parts = [layers.Dense(3, name="same") for _ in range(3)]

        def call(self, x):
            for layer in self.parts:
                x = layer(x)
            return x

    model = Net()
    model(np.zeros((1, 4), "float32"))
    assert names(model) == ["same:kernel", "same_1:kernel", "same_2:kernel"]


def test_shared_layer_is_one_weight_with_an_alias_for_each_other_place():
    shared = layers.Dense(4, name="shared")
    x = keras.Input((4,))
    left = keras.Model(x, shared(x), name="left")
    y = keras.Input((4,))
    right = keras.Model(y, shared(y), name="right")
    z = keras.Input((4,))
    weights = bind(keras.Model(z, right(left(z)))).weights
    assert [w.spec.name for w in weights] == ["left.shared:kernel"]
    assert weights[0].spec.aliases == ("right.shared:kernel",)


def test_layer_called_twice_is_one_weight():
    shared = layers.Dense(4, name="shared")
    x = keras.Input((4,))
    assert names(keras.Model(x, shared(shared(x)))) == ["shared:kernel"]


def test_variable_tied_between_layers_is_one_weight():
    embed = layers.Embedding(7, 3, name="embed")

    class Again(layers.Embedding):
        def build(self, _shape):
            self._embeddings = embed.embeddings

    x = keras.Input((2,), dtype="int32")
    weights = bind(keras.Model(x, embed(x) + Again(7, 3, name="again")(x))).weights
    assert [w.spec.name for w in weights] == ["embed:embedding"]
    assert weights[0].spec.aliases == ("again:embedding",)


def test_bare_layer_is_a_model_too():
    layer = layers.Dense(3, name="alone")
    layer.build((None, 4))
    assert names(layer) == ["alone:kernel"]


def test_normalisation_and_unknown_layers_are_listed_with_the_reason():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3),
            layers.BatchNormalization(name="bn"),
            layers.LayerNormalization(name="ln"),
            layers.PReLU(name="prelu"),
            layers.Dropout(0.5),
        ]
    )
    reasons = skipped(model)
    assert reasons["bn"] == f"BatchNormalization: {NORMALIZATION}"
    assert reasons["ln"] == f"LayerNormalization: {NORMALIZATION}"
    assert reasons["prelu"] == "PReLU: holds vectors only, which are never pruned"
    assert list(reasons) == ["bn", "ln", "prelu"]


def test_activation_with_parameters_inside_a_layer_is_not_forgotten():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, activation=layers.PReLU(name="act"), name="d")]
    )
    model(np.zeros((1, 4), "float32"))
    assert names(model) == ["d:kernel"]
    assert "PReLU" in skipped(model)["d.act"]


def test_layer_that_was_never_called_is_listed():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.used, self.spare = layers.Dense(3, name="used"), layers.Dense(3, name="spare")

        def build(self, shape):
            self.used.build(shape)

        def call(self, x):
            return self.used(x)

    model = Net()
    model(np.zeros((1, 4), "float32"))
    assert names(model) == ["used:kernel"]
    assert "not built" in skipped(model)["spare"]


def test_lora_layer_is_refused_with_the_reason():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="a"), layers.Dense(3)])
    model.get_layer("a").enable_lora(2)
    assert "a:kernel" not in names(model)
    assert "LoRA" in skipped(model)["a"]


def test_lora_inside_attention_is_refused_with_the_reason():
    x = keras.Input((5, 12))
    attention = layers.MultiHeadAttention(2, 3, name="mha")
    model = keras.Model(x, layers.Dense(2, name="out")(attention(x, x)))
    attention.query_dense.enable_lora(2)
    assert names(model) == ["out:kernel"]
    assert "LoRA" in skipped(model)["mha"]


@pytest.mark.parametrize("mode", ["int8", "float8"])
def test_quantized_layer_is_refused_with_the_reason(mode):
    model = keras.Sequential([keras.Input((16,)), layers.Dense(16, name="a"), layers.Dense(3)])
    model.get_layer("a").quantize(mode)
    assert names(model) == ["dense:kernel"]
    assert f"quantized to {mode}" in skipped(model)["a"]


@pytest.fixture
def plugin():
    class Plugin:
        @secateur.hookimpl
        def secateur_layer_weights(self, adapter, layer):
            if adapter == "keras" and type(layer).__name__ == "Twin":
                return [
                    secateur.LayerWeight("left", "dense", layout=DENSE_IN_OUT),
                    secateur.LayerWeight("right", "dense", layout=DENSE_IN_OUT),
                ]
            if adapter == "keras" and type(layer).__name__ == "Leave":
                return []
            return None

    secateur.register(plugin := Plugin(), "twin")
    yield plugin
    secateur.unregister("twin")


class Twin(layers.Layer):
    def build(self, shape):
        self.left = self.add_weight(shape=(shape[-1], 3), name="left")
        self.right = self.add_weight(shape=(shape[-1], 3), name="right")

    def call(self, x):
        return x @ self.left + x @ self.right


class Leave(Twin):
    pass


@pytest.mark.usefixtures("plugin")
def test_plugin_teaches_a_custom_layer():
    model = keras.Sequential([keras.Input((4,)), Twin(name="twin"), Leave(name="leave")])
    assert names(model) == ["twin.left:kernel", "twin.right:kernel"]
    report = secateur.prune(model, HALF)
    assert report.sparsity == 0.5
    assert (model.get_layer("twin").left.numpy() == 0).sum() == 6


def test_custom_layer_without_a_plugin_is_listed():
    model = keras.Sequential([keras.Input((4,)), Twin(name="twin"), layers.Dense(2)])
    assert names(model) == ["dense:kernel"]
    assert "secateur_layer_weights" in skipped(model)["twin"]


def test_model_with_nothing_to_prune_is_an_error_that_says_what_there_is():
    model = keras.Sequential([keras.Input((4,)), layers.BatchNormalization(name="bn")])
    with pytest.raises(secateur.ModelError, match="normalization"):
        secateur.plan(model, HALF)


def test_subclassed_model_whose_layers_are_not_built_is_refused():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3, name="dense")
            self.built = True

        def call(self, x):
            return self.dense(x)

    with pytest.raises(secateur.ModelError, match=r"layers are \(dense\) not built"):
        bind(Net())


def test_plan_changes_nothing():
    model = block("plain")
    before = [model.get_weights(), model.layers[1].kernel.constraint]
    secateur.plan(model, HALF)
    assert all(map(np.array_equal, before[0], model.get_weights()))
    assert model.layers[1].kernel.constraint is None


def test_prune_leaves_no_hook_behind():
    model = block("plain")
    attributes = set(vars(model))
    report = secateur.prune(model, HALF)
    assert report.sparsity == 0.5
    assert model.layers[1].kernel.constraint is None
    assert set(vars(model)) == attributes


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="there Keras takes no layer names with a point"
)
def test_a_path_that_a_layer_has_for_its_name_is_told_apart():
    x = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="b")], name="a")
    model = keras.Model(x, layers.Dense(4, name="a.b")(inner(x)))
    assert names(model) == ["a.b:kernel", "a.b_1:kernel"]


def test_names_are_unique_whatever_layers_are_called():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.parts = [layers.Dense(3, name=name) for name in ("x", "x", "x_1")]

        def call(self, x):
            return sum(part(x) for part in self.parts)

    model = Net()
    model(np.zeros((1, 4), "float32"))
    assert names(model) == ["x:kernel", "x_2:kernel", "x_1:kernel"]
    assert secateur.prune(model, HALF).kept == sum(
        np.count_nonzero(part.get_weights()[0]) for part in model.parts
    )


def beside(layer):
    """A model of a dense layer, and another layer that its call() leaves out."""

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.fc, self.extra = layers.Dense(3, name="fc"), layer

        def call(self, x):
            return self.fc(x)

    model = Net()
    model(np.zeros((1, 4), "float32"))
    return model


class ThreeGates(layers.LSTMCell):
    def build(self, shape):
        super().build(shape)
        self.kernel = self.add_weight(shape=(shape[-1], 3 * self.units), name="narrow")


class OtherTable(layers.Embedding):
    def build(self, shape=None):
        self.rows = self.add_weight(shape=(self.input_dim, self.output_dim), name="rows")
        self.built = True

    def call(self, x):
        return keras.ops.take(self.rows, x, 0)


def test_a_subclass_with_other_weights_is_listed_and_the_rest_is_pruned():
    x = keras.Input((3,), dtype="int32")
    model = keras.Model(x, layers.Dense(2, name="fc")(OtherTable(5, 4, name="table")(x)))
    assert names(model) == ["fc:kernel"]
    assert "OtherTable extends Embedding" in skipped(model)["table"]
    cell = ThreeGates(4, name="cell")
    cell.build((None, 6))
    model = beside(cell)
    assert names(model) == ["fc:kernel"]
    assert "4 gates of 4" in skipped(model)["cell"]


@pytest.mark.filterwarnings("ignore:.*looks like it has unbuilt state")
def test_a_custom_layer_that_was_never_called_is_listed():
    class Never(layers.Layer):
        def build(self, shape):
            self.table = self.add_weight(shape=(shape[-1], 2))

    assert "not built" in skipped(beside(Never(name="never")))["never"]


@pytest.mark.filterwarnings("ignore:.*looks like it has unbuilt state")
def test_layers_that_never_get_weights_are_not_listed_as_lacking_them():
    class Halve(layers.Layer):
        def call(self, x):
            return x / 2

    for layer in (Halve(), layers.Rescaling(0.5), layers.RandomFlip(), layers.Flatten()):
        assert not skipped(beside(layer))


def test_a_kernel_that_is_computed_is_listed_once():
    class Standardised(layers.Dense):
        @property
        def kernel(self):
            kernel = self._kernel
            return kernel - keras.ops.mean(kernel, 0)

        @kernel.setter
        def kernel(self, value):
            self._kernel = value

    model = keras.Sequential([keras.Input((4,)), Standardised(3, name="ws"), layers.Dense(2)])
    listed = {name: reason for name, reason in skipped(model).items() if "ws" in name}
    assert list(listed) == ["ws:kernel"]
    assert "computed" in listed["ws:kernel"]


@pytest.mark.skipif(
    not hasattr(layers, "ReversibleEmbedding"), reason="this Keras has no ReversibleEmbedding"
)
@pytest.mark.parametrize("tied", [True, False])
def test_both_tables_of_a_reversible_embedding(tied):
    layer = layers.ReversibleEmbedding(7, 4, tie_weights=tied, name="emb")
    layer.build()
    found = {weight.spec.name: weight.spec for weight in bind(beside(layer)).weights}
    assert found["emb:embedding"].shape == (7, 4)
    assert ("emb:kernel" in found) is not tied
    if not tied:
        assert found["emb:kernel"].shape == (7, 4)


class Norm(layers.Layer):
    """A normalization of another library."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")

    def call(self, x):
        return x * self.scale


def test_layers_of_vectors_do_not_ask_for_a_plugin():
    model = keras.Sequential([keras.Input((4,)), Norm(name="norm"), layers.Dense(2, name="fc")])
    assert skipped(model) == {"norm": "Norm: holds vectors only, which are never pruned"}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="its lookup is TensorFlow's")
def test_the_lookup_of_a_text_vectorization_is_not_listed():
    text = layers.TextVectorization(max_tokens=10, output_sequence_length=3)
    text.adapt(["a b", "c"])
    model = keras.Sequential(
        [keras.Input((), dtype="string"), text, layers.Embedding(10, 4), layers.Flatten()]
    )
    assert skipped(model) == {}
    assert len(names(model)) == 1


def test_frozen_weights_are_marked():
    frozen = layers.Dense(3, name="frozen", trainable=False)
    model = keras.Sequential([keras.Input((4,)), frozen, layers.Dense(2, name="fc")])
    specs = {weight.spec.name: weight.spec.trainable for weight in bind(model).weights}
    assert specs == {"frozen:kernel": False, "fc:kernel": True}


def test_what_is_left_dense_has_its_size():
    model = keras.Sequential(
        [
            keras.Input((16,)),
            layers.Dense(8, name="fc"),
            layers.BatchNormalization(name="bn"),
            Twin(name="twin"),
            Norm(name="norm"),
            layers.Dense(4, name="lora"),
        ]
    )
    model.get_layer("lora").enable_lora(2)
    found = bind(model)
    sizes = {one.name: one.size for one in found.skipped}
    assert sizes == {"bn": 16, "twin": 48, "norm": 3, "lora": 3 * 4 + 4 + 3 * 2 + 2 * 4}
    assert found.parameters == 16 * 8 + 8 + sum(sizes.values())


def test_statistics_and_seeds_are_no_parameters():
    model = keras.Sequential(
        [keras.Input((4,)), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(2)]
    )
    assert bind(model).parameters == 4 + 4 + 4 * 2 + 2


def test_a_shared_layer_counts_its_parameters_once():
    shared = layers.Dense(4, name="shared")
    x = keras.Input((4,))
    assert bind(keras.Model(x, shared(shared(x)))).parameters == 20


def test_a_tied_table_stands_in_each_of_its_layers():
    embed = layers.Embedding(7, 3, name="embed")

    class Again(layers.Embedding):
        def build(self, _shape):
            self._embeddings = embed.embeddings

    x = keras.Input((2,), dtype="int32")
    middle = layers.Dense(7, name="mid")(embed(x))
    again = Again(7, 3, name="again")(keras.ops.argmax(middle, -1))
    found = bind(keras.Model(x, again))
    assert list(found.layers) == ["embed", "mid", "again"]
    assert found.weights[0].spec.alias_layers == ("again",)
