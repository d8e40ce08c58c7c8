"""NaN and infinity: an error that names the weight and the place, and nothing is changed."""

from __future__ import annotations

import numpy as np
import pytest
from compute import mask_of
from hypothesis import given
from hypothesis import strategies as st
from strategies import DTYPES, arranged, fill

import secateur
from secateur.errors import WeightError

PATTERNS = {
    "unstructured": {"kind": "unstructured"},
    "block avg": {"kind": "block", "out": 2, "in": 2},
    "block max": {"kind": "block", "out": 2, "in": 2, "pooling": "max"},
    "n_m": {"kind": "n_m", "keep": 2, "of": 4},
    "channel": {"kind": "channel"},
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("criterion", ["magnitude", "random"])
@given(data=st.data(), bad=st.sampled_from([np.nan, np.inf, -np.inf, -np.nan]))
def test_the_error_names_the_first_in_canonical_order(criterion, pattern, data, bad):
    dtype = DTYPES[data.draw(st.sampled_from(sorted(DTYPES)))]
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=2, max_size=2)))
    values = fill(shape, dtype, "normal", 3)
    positions = st.tuples(*(st.integers(0, length - 1) for length in shape))
    wrong = sorted(data.draw(st.lists(positions, min_size=1, max_size=3)))
    for place in wrong:
        values[place] = bad
    layout = data.draw(st.sampled_from(["c", "transposed", "sliced", "reversed", "read_only"]))
    weight = arranged(values, layout, np.random.default_rng(0))
    with pytest.raises(WeightError) as caught:
        mask_of(weight, 0.5, pattern=PATTERNS[pattern], criterion=criterion)
    assert f"w0: the value at {wrong[0]} (canonical)" in str(caught.value)
    assert weight.tobytes() == values.tobytes()


@pytest.mark.parametrize("distribution", ["uniform", "global", "erk", "lamp"])
@pytest.mark.parametrize("pattern", ["unstructured", "block avg", "channel"])
def test_no_weight_of_the_model_is_changed(distribution, pattern):
    model = {name: np.random.default_rng(0).standard_normal((8, 12)) for name in "abc"}
    model["c"][7, 3] = np.inf
    before = {name: weight.copy() for name, weight in model.items()}
    policy = {
        "schedule": {"kind": "one_shot", "final_sparsity": 0.5},
        "rules": [{"match": {}, "distribution": distribution, "pattern": PATTERNS[pattern]}],
    }
    with pytest.raises(WeightError, match=r"c: the value at \(7, 3\).*inf"):
        secateur.prune(model, policy)
    with pytest.raises(WeightError, match=r"c: the value at \(7, 3\).*inf"):
        secateur.attach(model, policy)
    for name, weight in model.items():
        np.testing.assert_array_equal(weight, before[name])


def test_a_pruner_that_met_a_nan_goes_on_with_its_masks():
    weight = np.arange(1.0, 25).reshape(4, 6)
    schedule = {"kind": "linear", "final_sparsity": 0.5, "end_step": 4, "frequency": 1}
    pruner = secateur.attach({"w": weight}, {"schedule": schedule})
    pruner.step()
    masks = pruner.masks["w"].copy()
    weight[3, 5] = np.nan
    with pytest.raises(WeightError, match=r"w: the value at \(3, 5\)"):
        pruner.step()
    np.testing.assert_array_equal(pruner.masks["w"], masks)
    assert (weight[~masks] == 0).all()


def test_a_late_nan_in_a_large_weight_is_found():
    weight = np.ones((600, 700), np.float32).T
    weight[698, 599] = np.nan
    with pytest.raises(WeightError, match=r"\(698, 599\)"):
        mask_of(weight, 0.5)
