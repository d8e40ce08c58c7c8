"""Layouts: every permutation goes to the canonical layout and back, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur import layout
from secateur.layout import Layout

SIZE = st.integers(1, 5)
GRU = layout.KERAS_GRU_GATES


@st.composite
def cases(draw):
    """A layout, and the framework's shape that it takes."""
    a, b, c, d = (draw(SIZE) for _ in range(4))
    spatial = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    return draw(
        st.sampled_from(
            [
                (layout.IDENTITY, (a, b)),
                (layout.DENSE_IN_OUT, (a, b)),
                (layout.conv_hwio(len(spatial)), (*spatial, a, b)),
                (layout.conv_hwoi(len(spatial)), (*spatial, a, b)),
                (layout.conv_transpose_iohw((a * c, b, *spatial), c), (a * c, b, *spatial)),
                (layout.depthwise_hwcm((*spatial, a, b)), (*spatial, a, b)),
                (layout.rnn_in_gates((a, 4 * b), 4), (a, 4 * b)),
                (layout.rnn_in_gates((a, 3 * b), 3, GRU), (a, 3 * b)),
                (layout.rnn_gates_in((3 * b, a), 3), (3 * b, a)),
                (layout.matrix_in_out((a, b, c), 1), (a, b, c)),
                (layout.matrix_in_out((a, b, c), 2), (a, b, c)),
                (Layout((layout.Transpose((2, 0, 3, 1)),)), (a, b, c, d)),
            ]
        )
    )


@given(case=cases())
def test_there_and_back(case):
    way, shape = case
    native = np.arange(np.prod(shape)).reshape(shape)
    canonical = way.to_canonical(native)
    assert sorted(canonical.ravel()) == sorted(native.ravel())
    np.testing.assert_array_equal(way.from_canonical(canonical), native)


@pytest.mark.parametrize("spatial", [(3,), (3, 4), (2, 3, 4)])
def test_convolutions_are_views(spatial):
    native = np.zeros((*spatial, 5, 6))
    canonical = layout.conv_hwio(len(spatial)).to_canonical(native)
    assert canonical.shape == (6, 5, *spatial)
    assert np.shares_memory(canonical, native)


def test_gates_come_in_the_stated_order():
    units, inputs = 2, 3
    keras_gru = np.concatenate([np.full((inputs, units), gate) for gate in "zrh"], axis=1)
    canonical = layout.rnn_in_gates(keras_gru.shape, 3, GRU).to_canonical(keras_gru)
    assert canonical.shape == (3, units, inputs)
    assert canonical[:, 0, 0].tolist() == ["r", "z", "h"]
    torch_gru = np.concatenate([np.full((units, inputs), gate) for gate in "rzh"])
    other = layout.rnn_gates_in(torch_gru.shape, 3).to_canonical(torch_gru)
    np.testing.assert_array_equal(canonical, other)


def test_grouped_transposed_convolution_sorts_outputs_by_group():
    groups, inputs, outputs = 2, 4, 3
    native = np.empty((inputs, outputs, 1), object)
    for i in range(inputs):
        for o in range(outputs):
            group = i // (inputs // groups)
            native[i, o, 0] = (group * outputs + o, i % (inputs // groups))
    canonical = layout.conv_transpose_iohw(native.shape, groups).to_canonical(native)
    assert canonical.shape == (groups * outputs, inputs // groups, 1)
    for place in np.ndindex(canonical.shape[:2]):
        assert canonical[(*place, 0)] == place


def test_depthwise_merges_channel_and_multiplier():
    native = np.arange(3 * 2).reshape(1, 1, 3, 2)
    canonical = layout.depthwise_hwcm(native.shape).to_canonical(native)
    assert canonical.shape == (6, 1, 1, 1)
    assert canonical.ravel().tolist() == [0, 1, 2, 3, 4, 5]
