"""Property tests: masks equal those of the naive reference, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from compute import mask_of, masks_of
from hypothesis import given
from hypothesis import strategies as st
from strategies import SPARSITIES, weights

KINDS = ("dense", "conv", "rnn")


def whole(array):
    """A plain copy, so that a test sees what was passed in untouched."""
    return np.array(array, order="C")


def assert_equal(mask, expected):
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), sparsity=SPARSITIES)
def test_unstructured(kind, data, sparsity):
    weight = data.draw(weights(kind))
    before = whole(weight)
    mask = mask_of(weight, sparsity, kind=kind)
    assert_equal(mask, reference.unstructured(weight, sparsity))
    assert mask.sum() == reference.kept(weight.size, sparsity)
    assert before.tobytes() == whole(weight).tobytes()


@pytest.mark.parametrize("pooling", ["avg", "max", "l2"])
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), sparsity=SPARSITIES, out=st.integers(1, 5), in_=st.integers(1, 5))
def test_block(kind, pooling, data, sparsity, out, in_):
    weight = data.draw(weights(kind, size=300))
    pattern = {"kind": "block", "out": out, "in": in_, "pooling": pooling}
    mask = mask_of(weight, sparsity, kind=kind, pattern=pattern)
    assert_equal(mask, reference.block(weight, sparsity, out, in_, pooling, kind))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), of=st.integers(2, 11))
def test_n_m(kind, data, of):
    weight = data.draw(weights(kind))
    keep = data.draw(st.integers(1, of - 1))
    pattern = {"kind": "n_m", "keep": keep, "of": of}
    mask = mask_of(weight, float(1 - keep / of), kind=kind, pattern=pattern)
    assert_equal(mask, reference.n_m(weight, keep, of, kind))


@pytest.mark.parametrize("axis", ["out", "in"])
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), sparsity=SPARSITIES)
def test_channel(kind, axis, data, sparsity):
    weight = data.draw(weights(kind, size=300))
    mask = mask_of(weight, sparsity, kind=kind, pattern={"kind": "channel", "axis": axis})
    assert_equal(mask, reference.channel(weight, sparsity, axis, kind))


@st.composite
def several(draw, dtypes=None):
    one_dtype = (draw(st.sampled_from(["float16", "bfloat16", "float32", "float64"])),)
    return draw(st.lists(weights(dtypes=dtypes or one_dtype, size=200), min_size=1, max_size=4))


@given(arrays=several(), sparsity=SPARSITIES)
def test_global(arrays, sparsity):
    found = masks_of(arrays, sparsity, distribution="global")
    for mask, expected in zip(found, reference.global_(arrays, sparsity), strict=True):
        assert_equal(mask, expected)


@given(arrays=several(("float16", "bfloat16", "float32", "float64")), sparsity=SPARSITIES)
def test_global_over_mixed_dtypes(arrays, sparsity):
    found = masks_of(arrays, sparsity, distribution="global")
    for mask, expected in zip(found, reference.global_(arrays, sparsity), strict=True):
        assert_equal(mask, expected)


@given(arrays=several(), sparsity=SPARSITIES)
def test_lamp(arrays, sparsity):
    found = masks_of(arrays, sparsity, distribution="lamp")
    for mask, expected in zip(found, reference.lamp(arrays, sparsity), strict=True):
        assert_equal(mask, expected)


@given(arrays=several(), sparsity=SPARSITIES)
def test_erk(arrays, sparsity):
    found = masks_of(arrays, sparsity, distribution="erk")
    for mask, expected in zip(found, reference.erk(arrays, sparsity), strict=True):
        assert_equal(mask, expected)


@given(weight=weights(size=300), first=SPARSITIES, second=SPARSITIES)
def test_masks_only_shrink_while_the_target_grows(weight, first, second):
    low, high = sorted((first, second))
    before = mask_of(weight, low)
    moved = -np.asarray(weight[::-1]).astype(weight.dtype)
    after = masks_of([moved], high, previous={"w0": before})[0]
    assert not (after & ~before).any()
    assert after.sum() == reference.kept(weight.size, high)
    alive = [
        -1.0 if pruned else abs(float(v))
        for v, pruned in zip(moved.flat, ~before.ravel(), strict=False)
    ]
    assert_equal(after.ravel(), reference.best(alive, reference.kept(weight.size, high)))


@given(data=st.data(), low=SPARSITIES, high=SPARSITIES)
def test_blocks_only_shrink_while_the_target_grows(data, low, high):
    low, high = sorted((low, high))
    weight = data.draw(weights("dense", size=300))
    pattern = {"kind": "block", "out": 2, "in": 3}
    before = mask_of(weight, low, pattern=pattern)
    moved = -np.asarray(weight[::-1])
    after = masks_of([moved], high, previous={"w0": before}, pattern=pattern)[0]
    assert not (after & ~before).any()


@pytest.mark.parametrize("axis", ["out", "in"])
@pytest.mark.parametrize(
    ("pooling", "normalize"),
    [("l1", False), ("l1", True), ("l2", True), ("max", False), ("min", False)],
)
def test_channels_are_ranked_by_their_pooling(pooling, normalize, axis):
    rng = np.random.default_rng(4)
    given = [rng.normal(size=shape) for shape in ((6, 4), (5, 9), (7, 2))]
    scores = []
    for weight in given:
        slices = reference.channels(weight, axis)
        pool = reference.POOLINGS[pooling]
        found = [pool([abs(float(weight[place])) for place in places]) for places in slices]
        size = {"l1": len(slices[0]), "l2": len(slices[0]) ** 0.5}.get(pooling, 1)
        scores.append([score / (size if normalize else 1) for score in found])
    every = [score for own in scores for score in own]
    best = reference.best(every, reference.kept(len(every), 0.6))
    pattern = {"kind": "channel", "axis": axis, "pooling": pooling, "normalize": normalize}
    masks = masks_of(given, 0.6, pattern=pattern, distribution="global")
    ends = np.cumsum([len(own) for own in scores])[:-1]
    for weight, mask, chosen in zip(given, masks, np.split(best, ends), strict=True):
        expected = reference.spread(weight, reference.channels(weight, axis), chosen)
        assert_equal(mask, expected)
