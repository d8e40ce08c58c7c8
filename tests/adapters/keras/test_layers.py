"""The table of layers: names, kinds, roles, canonical shapes, and exact layouts."""

import keras
import numpy as np
import pytest
from keras import layers

from secateur.errors import ModelError
from secateur_keras.plugin import KerasAdapter

bind = KerasAdapter().bind
pytestmark = pytest.mark.any_backend  # the contract shows the layouts on each


def sequential(shape, *parts):
    return keras.Sequential([keras.Input(shape), *parts])


def specs(model):
    return [(w.spec.name, w.spec.kind, w.spec.role, w.spec.shape) for w in bind(model).weights]


KERNEL = "kernel"
CASES = {
    "dense": ((4,), lambda: layers.Dense(3), [("dense:kernel", "dense", KERNEL, (3, 4))]),
    "einsum_dense_two_outputs": (
        (5, 4),
        lambda: layers.EinsumDense("abc,cde->abde", (None, 2, 3)),
        [("einsum_dense:kernel", "dense", KERNEL, (6, 4))],
    ),
    "einsum_dense_two_inputs": (
        (5, 4),
        lambda: layers.EinsumDense("abc,bcd->ad", (3,)),
        [("einsum_dense:kernel", "dense", KERNEL, (3, 20))],
    ),
    "einsum_dense_ellipsis": (
        (5, 4),
        lambda: layers.EinsumDense("...x,xy->...y", (3,)),
        [("einsum_dense:kernel", "dense", KERNEL, (3, 4))],
    ),
    "einsum_dense_of_experts": (
        (5, 4),
        lambda: layers.EinsumDense("aet,eto->aeo", (5, 3)),
        [("einsum_dense:kernel", "expert", KERNEL, (5, 3, 4))],
    ),
    "einsum_dense_of_experts_last": (
        (4, 5),
        lambda: layers.EinsumDense("ate,toe->aoe", (3, 5)),
        [("einsum_dense:kernel", "expert", KERNEL, (5, 3, 4))],
    ),
    "einsum_dense_of_experts_and_heads": (
        (2, 5, 4),
        lambda: layers.EinsumDense("ahet,hetov->aheov", (2, 5, 3, 7)),
        [("einsum_dense:kernel", "expert", KERNEL, (10, 21, 4))],
    ),
    "conv1d": (
        (9, 4),
        lambda: layers.Conv1D(6, 3),
        [("conv1d:kernel", "conv", KERNEL, (6, 4, 3))],
    ),
    "conv2d": (
        (9, 9, 4),
        lambda: layers.Conv2D(6, (3, 2)),
        [("conv2d:kernel", "conv", KERNEL, (6, 4, 3, 2))],
    ),
    "conv2d_grouped": (
        (9, 9, 4),
        lambda: layers.Conv2D(6, 3, groups=2),
        [("conv2d:kernel", "conv", KERNEL, (6, 2, 3, 3))],
    ),
    "conv3d": (
        (9, 9, 9, 2),
        lambda: layers.Conv3D(5, (3, 2, 1)),
        [("conv3d:kernel", "conv", KERNEL, (5, 2, 3, 2, 1))],
    ),
    "conv1d_transpose": (
        (9, 4),
        lambda: layers.Conv1DTranspose(6, 3),
        [("conv1d_transpose:kernel", "conv_transpose", KERNEL, (6, 4, 3))],
    ),
    "conv2d_transpose": (
        (9, 9, 4),
        lambda: layers.Conv2DTranspose(6, (3, 2)),
        [("conv2d_transpose:kernel", "conv_transpose", KERNEL, (6, 4, 3, 2))],
    ),
    "conv3d_transpose": (
        (5, 5, 5, 4),
        lambda: layers.Conv3DTranspose(6, (3, 2, 1)),
        [("conv3d_transpose:kernel", "conv_transpose", KERNEL, (6, 4, 3, 2, 1))],
    ),
    "depthwise_conv1d": (
        (9, 4),
        lambda: layers.DepthwiseConv1D(3, depth_multiplier=2),
        [("depthwise_conv1d:kernel", "depthwise", KERNEL, (8, 1, 3))],
    ),
    "depthwise_conv2d": (
        (9, 9, 4),
        lambda: layers.DepthwiseConv2D((3, 2), depth_multiplier=2),
        [("depthwise_conv2d:kernel", "depthwise", KERNEL, (8, 1, 3, 2))],
    ),
    "separable_conv1d": (
        (9, 4),
        lambda: layers.SeparableConv1D(6, 3, depth_multiplier=2, name="sep"),
        [
            ("sep.depthwise:kernel", "depthwise", KERNEL, (8, 1, 3)),
            ("sep.pointwise:kernel", "conv", KERNEL, (6, 8, 1)),
        ],
    ),
    "separable_conv2d": (
        (9, 9, 4),
        lambda: layers.SeparableConv2D(6, 3, name="sep"),
        [
            ("sep.depthwise:kernel", "depthwise", KERNEL, (4, 1, 3, 3)),
            ("sep.pointwise:kernel", "conv", KERNEL, (6, 4, 1, 1)),
        ],
    ),
    "embedding": (
        (5,),
        lambda: layers.Embedding(11, 3),
        [("embedding:embedding", "embedding", "embedding", (11, 3))],
    ),
    "simple_rnn": (
        (5, 4),
        lambda: layers.SimpleRNN(3),
        [
            ("simple_rnn:kernel", "rnn", KERNEL, (1, 3, 4)),
            ("simple_rnn:recurrent", "rnn", "recurrent", (1, 3, 3)),
        ],
    ),
    "lstm": (
        (5, 4),
        lambda: layers.LSTM(3),
        [
            ("lstm:kernel", "rnn", KERNEL, (4, 3, 4)),
            ("lstm:recurrent", "rnn", "recurrent", (4, 3, 3)),
        ],
    ),
    "gru": (
        (5, 4),
        lambda: layers.GRU(3),
        [
            ("gru:kernel", "rnn", KERNEL, (3, 3, 4)),
            ("gru:recurrent", "rnn", "recurrent", (3, 3, 3)),
        ],
    ),
    "bidirectional": (
        (5, 4),
        lambda: layers.Bidirectional(layers.GRU(3), name="both"),
        [
            ("both.forward:kernel", "rnn", KERNEL, (3, 3, 4)),
            ("both.forward:recurrent", "rnn", "recurrent", (3, 3, 3)),
            ("both.backward:kernel", "rnn", KERNEL, (3, 3, 4)),
            ("both.backward:recurrent", "rnn", "recurrent", (3, 3, 3)),
        ],
    ),
    "rnn_over_cell": (
        (5, 4),
        lambda: layers.RNN(layers.LSTMCell(3, name="cell"), name="loop"),
        [
            ("loop.cell:kernel", "rnn", KERNEL, (4, 3, 4)),
            ("loop.cell:recurrent", "rnn", "recurrent", (4, 3, 3)),
        ],
    ),
    "rnn_over_stacked_cells": (
        (5, 4),
        lambda: layers.RNN([layers.GRUCell(3, name="a"), layers.SimpleRNNCell(2, name="b")]),
        [
            ("rnn.stacked_rnn_cells.a:kernel", "rnn", KERNEL, (3, 3, 4)),
            ("rnn.stacked_rnn_cells.a:recurrent", "rnn", "recurrent", (3, 3, 3)),
            ("rnn.stacked_rnn_cells.b:kernel", "rnn", KERNEL, (1, 2, 3)),
            ("rnn.stacked_rnn_cells.b:recurrent", "rnn", "recurrent", (1, 2, 2)),
        ],
    ),
    "conv_lstm1d": (
        (5, 8, 2),
        lambda: layers.ConvLSTM1D(3, 3),
        [
            ("conv_lstm1d:kernel", "rnn", KERNEL, (4, 3, 2, 3)),
            ("conv_lstm1d:recurrent", "rnn", "recurrent", (4, 3, 3, 3)),
        ],
    ),
    "conv_lstm2d": (
        (5, 8, 8, 2),
        lambda: layers.ConvLSTM2D(3, (3, 2)),
        [
            ("conv_lstm2d:kernel", "rnn", KERNEL, (4, 3, 2, 3, 2)),
            ("conv_lstm2d:recurrent", "rnn", "recurrent", (4, 3, 3, 3, 2)),
        ],
    ),
    "conv_lstm3d": (
        (5, 4, 4, 4, 2),
        lambda: layers.ConvLSTM3D(3, 2),
        [
            ("conv_lstm3d:kernel", "rnn", KERNEL, (4, 3, 2, 2, 2, 2)),
            ("conv_lstm3d:recurrent", "rnn", "recurrent", (4, 3, 3, 2, 2, 2)),
        ],
    ),
    "time_distributed": (
        (5, 4),
        lambda: layers.TimeDistributed(layers.Dense(3)),
        [("time_distributed.dense:kernel", "dense", KERNEL, (3, 4))],
    ),
    "spectral_normalization": (
        (4,),
        lambda: layers.SpectralNormalization(layers.Dense(3)),
        [("spectral_normalization.dense:kernel", "dense", KERNEL, (3, 4))],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_layer_gives_the_named_canonical_weights(case):
    shape, layer, expected = CASES[case]
    assert specs(sequential(shape, layer())) == expected


@pytest.mark.parametrize("case", CASES)
def test_layout_takes_every_element_there_and_back(case):
    shape, layer, _ = CASES[case]
    for weight in bind(sequential(shape, layer())).weights:
        numbers = np.arange(weight.spec.size).reshape(weight.variable.shape)
        canonical = weight.layout.to_canonical(numbers)
        assert canonical.shape == weight.spec.shape
        assert np.array_equal(weight.layout.from_canonical(canonical), numbers)


def test_attention_has_four_roles():
    x = keras.Input((5, 12))
    attention = layers.MultiHeadAttention(num_heads=2, key_dim=3, value_dim=4, name="mha")
    assert specs(keras.Model(x, attention(x, x))) == [
        ("mha:query", "attention", "query", (6, 12)),
        ("mha:key", "attention", "key", (6, 12)),
        ("mha:value", "attention", "value", (8, 12)),
        ("mha:output", "attention", "output", (12, 8)),
    ]


def test_grouped_query_attention_has_four_roles():
    x = keras.Input((5, 12))
    attention = layers.GroupQueryAttention(3, num_query_heads=4, num_key_value_heads=2, name="gqa")
    assert specs(keras.Model(x, attention(x, x))) == [
        ("gqa:query", "attention", "query", (12, 12)),
        ("gqa:key", "attention", "key", (6, 12)),
        ("gqa:value", "attention", "value", (6, 12)),
        ("gqa:output", "attention", "output", (12, 12)),
    ]


def test_attention_weight_is_the_matrix_that_the_layer_multiplies_by():
    x = np.random.default_rng(0).normal(size=(2, 5, 12)).astype("float32")
    inputs = keras.Input((5, 12))
    attention = layers.MultiHeadAttention(num_heads=2, key_dim=3)
    model = keras.Model(inputs, attention(inputs, inputs))
    query, *_, output = (weight.read() for weight in bind(model).weights)
    projected = keras.ops.convert_to_numpy(attention.query_dense(x))
    assert np.allclose(projected.reshape(2, 5, 6), x @ query.T, atol=1e-5)
    back = keras.ops.convert_to_numpy(attention.output_dense(projected))
    assert np.allclose(back, projected.reshape(2, 5, 6) @ output.T, atol=1e-5)


def test_gates_of_a_gru_come_in_the_order_r_z_n():
    model = sequential((5, 4), layers.GRU(3))
    kernel, recurrent = bind(model).weights
    z, r, h = np.split(model.layers[0].cell.kernel.numpy(), 3, axis=1)
    assert all(np.array_equal(kernel.read()[i], gate.T) for i, gate in enumerate((r, z, h)))
    z, r, h = np.split(model.layers[0].cell.recurrent_kernel.numpy(), 3, axis=1)
    assert all(np.array_equal(recurrent.read()[i], gate.T) for i, gate in enumerate((r, z, h)))


def test_gates_of_an_lstm_come_in_the_order_i_f_g_o():
    model = sequential((5, 4), layers.LSTM(3))
    kernel, _ = bind(model).weights
    gates = np.split(model.layers[0].cell.kernel.numpy(), 4, axis=1)
    assert all(np.array_equal(kernel.read()[i], gate.T) for i, gate in enumerate(gates))


def test_convolution_canonical_element_is_out_in_row_column():
    model = sequential((9, 9, 4), layers.Conv2D(6, 3))
    native = model.layers[0].kernel.numpy()
    assert bind(model).weights[0].read()[5, 2, 0, 1] == native[0, 1, 2, 5]


def test_transposed_convolution_canonical_element_is_out_in_row_column():
    model = sequential((9, 9, 4), layers.Conv2DTranspose(6, 3))
    native = model.layers[0].kernel.numpy()
    assert bind(model).weights[0].read()[5, 2, 0, 1] == native[0, 1, 5, 2]


def test_depthwise_canonical_channel_is_input_times_multiplier_plus_offset():
    model = sequential((9, 9, 4), layers.DepthwiseConv2D(3, depth_multiplier=2))
    native = model.layers[0].kernel.numpy()
    assert bind(model).weights[0].read()[2 * 3 + 1, 0, 0, 2] == native[0, 2, 3, 1]


# JAX has no float64 unless the whole process asks for it.
DTYPES = ["float16", "bfloat16", "float32"] + ["float64"] * (keras.backend.backend() != "jax")


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_are_read_in_their_own_dtype(dtype):
    weight = bind(sequential((4,), layers.Dense(3, dtype=dtype))).weights[0]
    assert weight.spec.dtype == weight.read().dtype.name == dtype


def test_read_is_read_only():
    weight = bind(sequential((4,), layers.Dense(3))).weights[0]
    with pytest.raises(ValueError, match="read-only"):
        weight.read()[0, 0] = 1


def test_subclass_of_a_layer_counts_as_that_layer():
    class Mine(layers.Dense):
        pass

    assert specs(sequential((4,), Mine(3, name="mine"))) == [
        ("mine:kernel", "dense", KERNEL, (3, 4))
    ]


class MixtralMoeExperts(layers.Layer):
    """Keeps its experts as the layer of keras_hub with this name does."""

    def build(self, shape):
        for name, sizes in (("gate", (4, 6)), ("intermediate", (4, 6)), ("output", (6, 4))):
            full = f"expert_feedforward_{name}_dense"
            setattr(self, f"_{full}", self.add_weight(shape=(3, *sizes), name=full))

    def call(self, x):
        gate = keras.ops.einsum("th,ehm->etm", x, self._expert_feedforward_gate_dense)
        up = keras.ops.einsum("th,ehm->etm", x, self._expert_feedforward_intermediate_dense)
        down = self._expert_feedforward_output_dense
        return keras.ops.sum(keras.ops.einsum("etm,emh->eth", gate * up, down), axis=0)


def test_experts_of_a_mixture_are_a_kind():
    model = sequential((4,), MixtralMoeExperts(name="moe"))
    assert specs(model) == [
        ("moe.expert_feedforward_gate_dense:kernel", "expert", KERNEL, (3, 6, 4)),
        ("moe.expert_feedforward_intermediate_dense:kernel", "expert", KERNEL, (3, 6, 4)),
        ("moe.expert_feedforward_output_dense:kernel", "expert", KERNEL, (3, 4, 6)),
    ]
    gate = bind(model).weights[0]
    native = keras.ops.convert_to_numpy(model.layers[0]._expert_feedforward_gate_dense)
    assert gate.read()[2, 5, 1] == native[2, 1, 5]


def test_an_expert_is_the_matrix_that_its_input_is_multiplied_by():
    model = sequential((5, 4), layers.EinsumDense("aet,eto->aeo", (5, 3)))
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    experts = bind(model).weights[0].read()
    wanted = np.stack([x[:, e] @ experts[e].T for e in range(5)], axis=1)
    assert np.allclose(model.predict(x, verbose=0), wanted, atol=1e-5)


class Parts(keras.Model):
    """A model such as a GAN: it has no call of its own, only parts that a train_step calls."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = list(parts)


def test_a_model_that_only_holds_built_parts_need_not_be_built():
    first, second = (sequential((4,), layers.Dense(3, name=name)) for name in ("one", "two"))
    first.name, second.name = "first", "second"
    assert [spec[0] for spec in specs(Parts(first, second))] == [
        "first.one:kernel",
        "second.two:kernel",
    ]


class Halve(layers.Layer):
    def call(self, x):
        return x / 2


WEIGHTLESS = {
    "rescaling": lambda: layers.Rescaling(0.5),
    "custom": Halve,
    "augmentation": lambda: layers.RandomFlip(),
    "nested": lambda: keras.Sequential([layers.Rescaling(2.0), layers.RandomFlip()]),
}


@pytest.mark.parametrize("case", WEIGHTLESS)
def test_a_model_of_built_parts_may_hold_layers_without_weights(case):
    part = sequential((4,), layers.Dense(3, name="one"))
    part.name = "part"
    model = Parts(part, WEIGHTLESS[case]())
    assert [spec[0] for spec in specs(model)] == ["part.one:kernel"]
    assert bind(model).skipped == []


def test_a_part_that_is_not_built_is_named():
    built = sequential((4,), layers.Dense(3))
    with pytest.raises(ModelError, match=r"not built.*: later\.head.*build\(input_shape\)"):
        bind(Parts(built, keras.Sequential([layers.Dense(2, name="head")], name="later")))
    many = [layers.Dense(2, name=f"d{i}") for i in range(40)]
    with pytest.raises(ModelError, match=r"d4 and 35 more") as caught:
        bind(Parts(built, *many))
    assert len(str(caught.value)) < 400


def test_an_unbuilt_model_that_builds_weights_later_is_refused():
    class Later(Parts):
        def build(self, shape):
            self.parts.append(layers.Dense(3))

    built = sequential((4,), layers.Dense(3))
    for model in (Parts(built, layers.Dense(2)), Later(built), Parts()):
        with pytest.raises(ModelError, match="not built"):
            bind(model)


def test_unbuilt_model_is_refused_with_the_way_to_build_it():
    with pytest.raises(ModelError, match=r"not built.*keras\.Input"):
        bind(keras.Sequential([layers.Dense(3)]))
