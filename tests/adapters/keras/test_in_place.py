"""Large TensorFlow variables are masked where they lie, bit for bit as by a select."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import secateur
from secateur_keras import in_place, masking
from secateur_keras.weight import to_numpy

CONSTANT = {"schedule": {"kind": "constant", "final_sparsity": 0.75}}


def variables(values, mask):
    return keras.Variable(values, dtype=values.dtype.name), keras.Variable(mask, dtype="bool")


def constraint(weight, mask):
    made = masking.MaskConstraint(weight, lambda _variable: None)
    made.apply(np.asarray(mask))
    return made


SHAPES = [(1,), (7,), (33,), (3, 5), (2, 3, 4)]  # each is compiled once a dtype


@given(st.data(), st.sampled_from(SHAPES), st.sampled_from(["float16", "float32", "float64"]))
def test_the_bits_are_those_of_a_select(data, shape, dtype):
    values = data.draw(npst.arrays(dtype, shape))  # NaN, infinities and -0.0 among them
    mask = data.draw(npst.arrays(bool, shape))
    weight, kept = variables(values, mask)
    in_place.mask(weight, kept)
    wanted = np.where(mask, values, np.zeros((), dtype))
    assert to_numpy(weight.value).tobytes() == wanted.tobytes()


def test_bfloat16_is_masked_too():
    weight, kept = variables(np.array([1, -2, np.nan, 3]), np.array([True, False, False, True]))
    weight = keras.Variable(weight, dtype="bfloat16")
    in_place.mask(weight, kept)
    assert to_numpy(weight.value).astype("float32").tolist() == [1, 0, 0, 3]


def address(variable):
    return to_numpy(variable.value).ctypes.data


def test_a_weight_stays_where_it_lies():
    weight = keras.Variable(np.ones((100, 30), "float32"))
    applied = constraint(weight, np.arange(3000).reshape(100, 30) > 9)
    applied.enforce()  # the variable may still share the memory of the array it was made of
    before = address(weight)
    applied.enforce()
    assert address(weight) == before
    assert to_numpy(weight.value).sum() == 2990


def test_values_that_were_read_before_do_not_change():
    values = np.arange(1.0, 7.0, dtype="float32")
    weight, kept = variables(values, np.zeros(6, bool))
    read = to_numpy(weight.value)
    in_place.mask(weight, kept)
    assert read.tolist() == values.tolist()
    assert not to_numpy(weight.value).any()


def test_many_shapes_share_one_trace():
    for size in range(1, 12):
        weight, kept = variables(np.ones((size, 3), "float32"), np.zeros((size, 3), bool))
        in_place.mask(weight, kept)
        assert not to_numpy(weight.value).any()
    assert in_place._clear(weight.value.dtype).experimental_get_tracing_count() == 1


def test_a_constraint_of_the_users_own_comes_first():
    dense = keras.layers.Dense(50, kernel_constraint=keras.constraints.NonNeg(), name="dense")
    model = keras.Sequential([keras.Input((40,)), dense])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    pruner = secateur.attach(model, CONSTANT)
    x = np.random.default_rng(0).normal(size=(32, 40)).astype("float32")
    model.fit(x, x[:, :1], batch_size=4, verbose=0, callbacks=[pruner.callback()])
    kernel = to_numpy(dense.kernel.value)
    assert (kernel >= 0).all()
    assert (kernel == 0).mean() >= 0.75


@pytest.mark.parametrize("why", ["too small", "no XLA"])
def test_other_variables_are_replaced_by_a_masked_copy(why, monkeypatch):
    weight = keras.Variable(np.ones(2000, "float32"))
    assert in_place.is_possible(weight)
    if why == "too small":
        monkeypatch.setattr(in_place, "LARGE", 2001)
    else:
        monkeypatch.setattr(in_place, "_has_compiler", lambda: False)
    assert not in_place.is_possible(weight)
    constraint(weight, np.arange(2000) % 4 == 0)
    assert to_numpy(weight.value).sum() == 500
