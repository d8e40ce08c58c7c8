"""Every layer class of the table: names, kinds, roles, canonical shapes, and values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from secateur_torch.binding import bind


def rows(module):
    return {
        weight.spec.name: (weight.spec.kind, weight.spec.role, weight.spec.shape)
        for weight in bind(nn.ModuleDict({"m": module})).weights
    }


def plain(kind, shape, role="kernel"):
    return {f"m:{role}": (kind, role, shape)}


TABLE = {
    "linear": (lambda: nn.Linear(3, 5), plain("dense", (5, 3))),
    "bilinear": (lambda: nn.Bilinear(3, 4, 5), plain("dense", (5, 3, 4))),
    "conv1d": (lambda: nn.Conv1d(3, 5, 7), plain("conv", (5, 3, 7))),
    "conv2d": (lambda: nn.Conv2d(3, 5, (7, 2)), plain("conv", (5, 3, 7, 2))),
    "conv3d": (lambda: nn.Conv3d(3, 5, 2), plain("conv", (5, 3, 2, 2, 2))),
    "grouped conv": (lambda: nn.Conv2d(4, 6, 3, groups=2), plain("conv", (6, 2, 3, 3))),
    "depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4), plain("depthwise", (8, 1, 3, 3))),
    "one channel is no depthwise": (lambda: nn.Conv2d(1, 8, 3), plain("conv", (8, 1, 3, 3))),
    "conv_transpose1d": (
        lambda: nn.ConvTranspose1d(3, 5, 7),
        plain("conv_transpose", (5, 3, 7)),
    ),
    "conv_transpose2d": (
        lambda: nn.ConvTranspose2d(3, 5, (7, 2)),
        plain("conv_transpose", (5, 3, 7, 2)),
    ),
    "conv_transpose3d": (
        lambda: nn.ConvTranspose3d(3, 5, 2),
        plain("conv_transpose", (5, 3, 2, 2, 2)),
    ),
    "grouped conv_transpose": (
        lambda: nn.ConvTranspose2d(4, 6, 3, groups=2),
        plain("conv_transpose", (6, 2, 3, 3)),
    ),
    "embedding": (lambda: nn.Embedding(10, 3), plain("embedding", (10, 3), "embedding")),
    "embedding bag": (lambda: nn.EmbeddingBag(10, 3), plain("embedding", (10, 3), "embedding")),
    "rnn": (
        lambda: nn.RNN(3, 5),
        {
            "m:kernel": ("rnn", "kernel", (1, 5, 3)),
            "m:recurrent": ("rnn", "recurrent", (1, 5, 5)),
        },
    ),
    "gru, two layers": (
        lambda: nn.GRU(3, 5, num_layers=2),
        {
            "m.l0:kernel": ("rnn", "kernel", (3, 5, 3)),
            "m.l0:recurrent": ("rnn", "recurrent", (3, 5, 5)),
            "m.l1:kernel": ("rnn", "kernel", (3, 5, 5)),
            "m.l1:recurrent": ("rnn", "recurrent", (3, 5, 5)),
        },
    ),
    "lstm, both directions, projected": (
        lambda: nn.LSTM(3, 5, bidirectional=True, proj_size=2),
        {
            "m.forward:kernel": ("rnn", "kernel", (4, 5, 3)),
            "m.forward:recurrent": ("rnn", "recurrent", (4, 5, 2)),
            "m.forward:output": ("rnn", "output", (1, 2, 5)),
            "m.backward:kernel": ("rnn", "kernel", (4, 5, 3)),
            "m.backward:recurrent": ("rnn", "recurrent", (4, 5, 2)),
            "m.backward:output": ("rnn", "output", (1, 2, 5)),
        },
    ),
    "rnn cell": (
        lambda: nn.RNNCell(3, 5),
        {
            "m:kernel": ("rnn", "kernel", (1, 5, 3)),
            "m:recurrent": ("rnn", "recurrent", (1, 5, 5)),
        },
    ),
    "lstm cell": (
        lambda: nn.LSTMCell(3, 5),
        {
            "m:kernel": ("rnn", "kernel", (4, 5, 3)),
            "m:recurrent": ("rnn", "recurrent", (4, 5, 5)),
        },
    ),
    "gru cell": (
        lambda: nn.GRUCell(3, 5),
        {
            "m:kernel": ("rnn", "kernel", (3, 5, 3)),
            "m:recurrent": ("rnn", "recurrent", (3, 5, 5)),
        },
    ),
    "attention, packed": (
        lambda: nn.MultiheadAttention(6, 2),
        {f"m:{role}": ("attention", role, (6, 6)) for role in ("query", "key", "value", "output")},
    ),
    "attention, separate": (
        lambda: nn.MultiheadAttention(6, 2, kdim=3, vdim=4),
        {
            "m:query": ("attention", "query", (6, 6)),
            "m:key": ("attention", "key", (6, 3)),
            "m:value": ("attention", "value", (6, 4)),
            "m:output": ("attention", "output", (6, 6)),
        },
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_layer_class_is_found_with_kind_role_and_canonical_shape(case):
    make, expected = TABLE[case]
    assert rows(make()) == expected


@pytest.mark.parametrize("case", TABLE)
def test_a_held_mask_reads_back_as_the_zeros_of_the_weight(case):
    binding = bind(TABLE[case][0]())
    rng = np.random.default_rng(0)
    before = {weight.spec.name: weight.read().copy() for weight in binding.weights}
    masks = {name: rng.random(value.shape) < 0.5 for name, value in before.items()}
    binding.apply(masks)
    for weight in binding.weights:
        name = weight.spec.name
        expected = np.where(masks[name], before[name], np.float32(0))
        np.testing.assert_array_equal(weight.read().view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("case", TABLE)
def test_reading_is_a_read_only_view_of_the_parameter(case):
    module = TABLE[case][0]()
    pointers = {(p.data_ptr(), p.data_ptr() + p.nbytes) for p in module.parameters() if p.ndim > 1}
    for weight in bind(module).weights:
        array = weight.read()
        assert not array.flags.writeable
        if array.base is not None and weight.spec.kind != "conv_transpose":
            address = array.__array_interface__["data"][0]
            assert any(low <= address < high for low, high in pointers)


def test_transposed_convolution_is_out_in_by_meaning():
    module = nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False)
    (weight,) = bind(module).weights
    mask = np.ones(weight.spec.shape, bool)
    mask[4] = False  # everything that leads to output channel 4
    bind(module).apply({weight.spec.name: mask})
    image = module(torch.randn(1, 4, 5, 5))
    assert not image[:, 4].any()
    assert all(image[:, channel].any() for channel in (0, 1, 2, 3, 5))


def test_rows_of_a_packed_attention_weight_are_query_key_value_in_that_order():
    module = nn.MultiheadAttention(4, 2)
    values = {weight.spec.role: weight.read() for weight in bind(module).weights}
    packed = module.in_proj_weight.detach().numpy()
    for number, role in enumerate(("query", "key", "value")):
        np.testing.assert_array_equal(values[role], packed[4 * number : 4 * number + 4])
    np.testing.assert_array_equal(values["output"], module.out_proj.weight.detach().numpy())


def test_lstm_gates_are_in_the_order_input_forget_cell_output():
    module = nn.LSTM(3, 5)
    mask = np.ones((4, 5, 3), bool)
    mask[1] = False
    bind(module).apply({"LSTM:kernel": mask})
    assert not module.weight_ih_l0[5:10].any()
    assert module.weight_ih_l0[:5].all()
    assert module.weight_ih_l0[10:].all()


def test_a_subclass_of_a_known_layer_is_known():
    class Scaled(nn.Linear):
        pass

    assert rows(Scaled(3, 5)) == plain("dense", (5, 3))


def test_transformer_finds_every_matrix_and_nothing_else():
    model = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    binding = bind(model)
    found = sum(weight.spec.size for weight in binding.weights)
    assert found == sum(p.numel() for p in model.parameters() if p.ndim == 2)
    assert all("LayerNorm" in skipped.reason for skipped in binding.skipped)
    assert "decoder.layers.0.multihead_attn:query" in {w.spec.name for w in binding.weights}


def test_hugging_face_conv1d_is_dense_by_its_class_name_alone():
    conv1d = type(
        "Conv1D",
        (nn.Module,),
        {"__module__": "transformers.pytorch_utils"},
    )()
    conv1d.weight = nn.Parameter(torch.randn(3, 5))  # (in, out)
    conv1d.bias = nn.Parameter(torch.zeros(5))
    assert rows(conv1d) == plain("dense", (5, 3))
