"""Weights as models hold them: every dtype, shape, order in memory, and awkward values."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
}
RANKS = {"dense": (2, 2), "conv": (3, 5), "rnn": (3, 6), "embedding": (2, 2)}
LENGTHS = st.one_of(st.integers(1, 8), st.sampled_from([0, 1, 7, 11, 13, 16, 17]))
SPARSITIES = st.one_of(
    st.sampled_from([0.0, 0.1, 0.5, 0.9, 1 / 3, 0.99, 1.0]), st.floats(0, 1, allow_subnormal=False)
)
LAYOUTS = ("c", "f", "transposed", "sliced", "reversed", "read_only", "offset")


@st.composite
def shapes(draw, kind="dense", size=600):
    low, high = RANKS[kind]
    shape = draw(st.lists(LENGTHS, min_size=low, max_size=high))
    while np.prod(shape) > size:
        shape[int(np.argmax(shape))] //= 2
    return tuple(shape)


def arranged(values, layout, chance):
    """The same numbers in another order in memory; equal to `values` everywhere."""
    if layout == "f":
        return np.asfortranarray(values)
    if layout == "transposed":
        axes = chance.permutation(values.ndim)
        return np.ascontiguousarray(values.transpose(axes)).transpose(np.argsort(axes))
    if layout == "sliced":
        wide = np.zeros([2 * length + 1 for length in values.shape], values.dtype)
        view = wide[tuple(slice(1, None, 2) for _ in values.shape)]
        view[...] = values
        return view
    if layout == "reversed":
        turned = (slice(None, None, -1),) * values.ndim
        return values[turned].copy()[turned]
    if layout == "offset":
        buffer = np.zeros(values.size + 3, values.dtype)
        view = buffer[3:].reshape(values.shape)
        view[...] = values
        return view
    values = values.copy()
    values.flags.writeable = layout != "read_only"
    return values


def fill(shape, dtype, how, seed):
    """Numbers of one of several kinds: spread out, tied, subnormal, mostly zero."""
    chance = np.random.default_rng(seed)
    size = int(np.prod(shape))
    normal = chance.standard_normal(size)
    tiny = float(np.asarray(ml_dtypes.finfo(dtype).smallest_subnormal).astype(np.float64))
    values = {
        "normal": normal,
        "rounded": np.round(normal),
        "ternary": chance.integers(-1, 2, size) * 0.5,
        "equal": np.full(size, -0.25),
        "zeros": np.where(chance.random(size) < 0.5, 0.0, -0.0),
        "mostly_zero": np.where(chance.random(size) < 0.8, -0.0, normal),
        "subnormal": chance.integers(-9, 10, size) * tiny,
        "wide": normal * 2.0 ** chance.integers(-12, 12, size),
    }[how]
    return values.astype(dtype).reshape(shape)


KINDS_OF_VALUES = (
    "normal",
    "rounded",
    "ternary",
    "equal",
    "zeros",
    "mostly_zero",
    "subnormal",
    "wide",
)


@st.composite
def weights(draw, kind="dense", dtypes=tuple(DTYPES), layouts=LAYOUTS, size=600):
    dtype = DTYPES[draw(st.sampled_from(dtypes))]
    how = draw(st.sampled_from(KINDS_OF_VALUES))
    seed = draw(st.integers(0, 2**32 - 1))
    values = fill(draw(shapes(kind, size)), dtype, how, seed)
    return arranged(values, draw(st.sampled_from(layouts)), np.random.default_rng(seed))
