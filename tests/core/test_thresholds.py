"""A threshold prunes exactly what lies below it; the deviation is exact in any order."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import secateur
from secateur.arrays import moments
from secateur.errors import PolicyError, WeightError
from tests.core import reference

DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
STEADY = {"kind": "constant", "final_sparsity": 0.5, "end_step": 9}
WHOLE = {"kind": "one_shot", "final_sparsity": 1.0}


def policy(pattern="unstructured", schedule=WHOLE, criterion="magnitude", **limit):
    return {
        "schedule": schedule,
        "pattern": pattern,
        "criterion": criterion,
        "distribution": {"kind": "threshold", **limit},
    }


def exact_variance(weight):
    values = [Fraction(float(value)) for value in weight.flat]
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / len(values)


@st.composite
def weights(draw):
    shape = draw(st.sampled_from([(1, 1), (3, 5), (6, 4), (5, 2, 3, 3)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0, 1, 8]))  # some values are far larger than others
    values = rng.normal(size=shape) * np.exp2(spread * rng.normal(size=shape))
    if levels := draw(st.sampled_from([0, 2])):
        values = np.round(values * levels) / levels
    return np.clip(values, -6e4, 6e4).astype(draw(st.sampled_from(DTYPES)))


@given(weight=weights(), parts=st.integers(1, 4), far=st.integers(-900, 900))
def test_the_variance_is_exact_in_any_order(weight, parts, far):
    if weight.dtype == np.float64:
        weight = np.ldexp(weight, far // 2)
    flat = weight.reshape(-1)
    dealt = [flat[start::parts] for start in range(parts)]
    digits = sum(moments.as_digits(moments.sums(part)) for part in dealt)
    found = moments.variance(moments.from_digits(digits), flat.size)
    assert found == exact_variance(weight)
    root = Fraction(moments.square_root(found))
    assert abs(root**2 - found) <= found / 2**52


@given(weight=weights(), limit=st.sampled_from([0.1, 0.5, 1.0, 1.7]), own=st.booleans())
def test_what_scores_below_the_threshold_is_pruned(weight, limit, own):
    exact = Fraction(repr(limit))
    if own:
        variance = exact_variance(weight)
        scale = 1 << 300
        exact *= Fraction(isqrt(variance.numerator * scale**2 // variance.denominator), scale)
    with np.errstate(under="ignore"):
        wanted = np.abs(weight) >= np.asarray(float(exact)).astype(weight.dtype)
    chosen = policy(**{"deviations" if own else "value": limit})
    kernel = np.asfortranarray(weight)  # as Keras keeps one
    for held in (weight, kernel):
        report = secateur.prune({"w": held.copy("K")}, chosen)
        np.testing.assert_array_equal(report.masks["w"], wanted)


def test_groups_are_compared_by_their_scores():
    weight = np.random.default_rng(0).normal(size=(7, 9))
    scores = reference.block_scores(weight, "dense", 2, 4, "avg")
    tiles = reference.tiles(weight.shape, "dense", 2, 4)
    wanted = reference.spread(weight, tiles, [score >= 0.7 for score in scores])
    pattern = {"kind": "block", "out": 2, "in": 4}
    found = secateur.prune({"w": weight.copy()}, policy(pattern, value=0.7)).masks["w"]
    np.testing.assert_array_equal(found, wanted)
    found = secateur.prune({"w": weight.copy()}, policy("channel", value=3.0)).masks["w"]
    np.testing.assert_array_equal(found[:, 0], np.linalg.norm(weight, axis=1) >= 3.0)


def test_weights_of_one_magnitude_are_not_below_their_own_deviation():
    weight = np.where(np.arange(1000) % 2, 0.1, -0.1).astype(np.float32).reshape(20, 50)
    assert secateur.prune({"w": weight.copy()}, policy(deviations=1.0)).masks["w"].all()
    assert secateur.prune({"w": weight.copy()}, policy(value=0.1)).masks["w"].all()


def test_a_ramp_raises_the_threshold_and_masks_only_shrink():
    start = np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)
    ramp = {"kind": "linear", "final_sparsity": 0.8, "end_step": 4, "frequency": 1}
    model = {"w": start.copy()}
    pruner = secateur.attach(model, policy(schedule=ramp, value=1.0))
    alive = np.ones(start.shape, bool)
    for step in range(5):
        alive &= np.abs(model["w"]) >= step / 4
        np.testing.assert_array_equal(pruner.masks["w"], alive)
        model["w"] += np.where(alive, 0.2, 0.3).astype(np.float32)  # what is pruned stays pruned
        pruner.step()
    assert not pruner.report().notes
    assert pruner.report().weights[0].sparsity == 1 - alive.mean()


def test_a_decompressed_phase_lifts_the_masks():
    phases = {"kind": "ac_dc", "final_sparsity": 0.9, "begin_step": 1, "end_step": 4}
    model = {"w": np.arange(8.0).reshape(2, 4)}
    pruner = secateur.attach(model, policy(schedule={**phases, "frequency": 1}, value=3.0))
    kept = []
    for _ in range(4):
        pruner.step()
        kept.append(int(pruner.masks["w"].sum()))
    assert kept == [5, 8, 5, 5]


def test_a_ramp_that_is_not_over_says_how_much_of_the_threshold_is_reached():
    ramp = {"kind": "linear", "final_sparsity": 0.5, "end_step": 4, "frequency": 1}
    pruner = secateur.attach({"w": np.eye(4)}, policy(schedule=ramp, value=1.0))
    pruner.step()
    assert "has come to 0.25 of its threshold" in pruner.report().notes[0]
    state = pruner.state_dict()
    resumed = secateur.attach({"w": np.eye(4)}, policy(schedule=ramp, value=1.0))
    resumed.load_state_dict(state)
    assert resumed.report().notes == pruner.report().notes


def test_the_plan_says_by_threshold_and_at_most():
    weight = np.random.default_rng(0).normal(size=(8, 8))
    chosen = policy(value=0.5)
    plan = secateur.plan({"w": weight}, chosen)
    assert (plan.weights[0].target, plan.weights[0].by) == (None, "by threshold")
    assert (plan.kept, plan.at_most) == (64, True)
    assert "at most 64 of 64 weights stay" in str(plan)
    report = secateur.prune({"w": weight}, chosen)
    assert "by threshold" in str(report)
    assert secateur.verify({"w": weight}, chosen).holds
    assert not secateur.verify({"w": np.full((8, 8), 0.25)}, chosen).holds
    assert secateur.check(chosen).ok
    seen = {}

    class Observer:
        def secateur_masks_updated(self, event):
            seen.update(event.targets)

    secateur.prune({"w": weight}, chosen, observers=[Observer()])
    assert seen == {"w": report.weights[0].sparsity}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (policy(), "neither value nor deviations"),
        (policy(value=0.1, deviations=1.0), "both value and deviations"),
        (policy(value=0.0), "greater than 0"),
        (policy({"kind": "n_m", "keep": 2, "of": 4}, value=0.1), "a threshold decides nothing"),
        (policy("channel", deviations=0.7), "grows with their number"),
        (policy(criterion="random", deviations=0.7), "does not score by its magnitude"),
        (policy(criterion="set", schedule=STEADY, value=0.7), "keeps their number"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(wrong, says):
    with pytest.raises(PolicyError, match=says):
        secateur.plan({"w": np.ones((4, 4))}, wrong)


def test_a_threshold_that_leaves_nothing_is_noted_and_so_is_a_schedule_that_reaches_none():
    weights = {"w": np.ones((4, 4)), "v": np.full((4, 4), 3.0)}
    steady = {"kind": "constant", "final_sparsity": 0.5, "begin_step": 1}
    pruner = secateur.attach(weights, policy(schedule=steady, value=2.0))
    pruner.step()
    wanted = ("rule 1: its threshold leaves nothing of w, so that all of it is pruned: lower it",)
    assert pruner.report().notes == wanted
    pruner.detach()
    assert secateur.prune({"w": np.ones((4, 4))}, policy(value=2.0)).notes == wanted
    nothing = policy(schedule={**steady, "final_sparsity": 0.0}, value=2.0)
    with pytest.warns(secateur.ScheduleWarning, match="nothing is pruned in the end"):
        secateur.plan(weights, nothing)


@pytest.mark.parametrize("limit", [{"value": 0.5}, {"deviations": 0.5}])
def test_a_value_that_cannot_be_ranked_is_an_error_and_nothing_is_changed(limit):
    weight = np.array([[1.0, 0.1], [np.nan, 2.0]])
    with pytest.raises(WeightError, match=r"\(1, 0\)"):
        secateur.prune({"w": weight}, policy(**limit))
    assert weight[0, 1] == 0.1


@pytest.mark.parametrize("shape", [(0, 4), (1, 1)])
def test_the_smallest_weights_have_a_deviation(shape):
    report = secateur.prune({"w": np.ones(shape), "v": np.ones((2, 2))}, policy(deviations=0.7))
    assert report.masks["w"].all()  # nothing deviates, and nothing lies below zero
