"""No weight is pruned by two pruners at a time; two may share a model."""

from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest

import secateur
from secateur.errors import ModelError, WeightError

HALF = {"schedule": {"kind": "constant", "final_sparsity": 0.5}}


def random(shape=(8, 10), seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def only(name):
    return {**HALF, "rules": [{"match": {"name": name}}]}


@pytest.mark.parametrize("act", [secateur.attach, secateur.prune])
def test_a_weight_that_is_being_pruned_is_refused_until_it_is_let_go(act):
    weights = {"a": random(), "b": random(seed=1)}
    first = secateur.attach(weights, HALF)
    before = weights["a"].copy()
    policy = {"schedule": {"kind": "one_shot", "final_sparsity": 0.8}}
    with pytest.raises(ModelError, match=r"^a is being pruned by another pruner.*detach\(\)"):
        act(weights, policy)
    np.testing.assert_array_equal(weights["a"], before)
    first.step()
    first.detach()
    act(weights, policy)
    assert (weights["a"] == 0).mean() == 0.8


def test_masks_are_not_transferred_onto_a_weight_that_is_being_pruned():
    weights = {"a": random()}
    pruner = secateur.attach(weights, HALF)
    with pytest.raises(ModelError, match="another pruner"):
        secateur.transfer({"a": np.zeros((8, 10), bool)}, weights)
    assert np.count_nonzero(weights["a"]) == 40
    pruner.detach()
    secateur.transfer({"a": np.zeros((8, 10), bool)}, weights)
    assert not weights["a"].any()


def test_two_pruners_share_a_model_when_their_weights_differ():
    weights = {"a": random(), "b": random(seed=1)}
    first = secateur.attach(weights, only("a"))
    second = secateur.attach(weights, only("b"))
    first.step()
    second.step()
    assert [w.sparsity for w in first.report().weights] == [0.5, 0]
    assert [w.sparsity for w in second.report().weights] == [0, 0.5]
    with pytest.raises(ModelError, match="b is being"):
        secateur.attach(weights, only("b"))


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("other", "is_shared"),
    [
        (lambda w: w, True),
        (lambda w: w[:], True),
        (lambda w: w.T, True),
        (lambda w: w.reshape(10, 8), True),
        (lambda w: w.view(np.float32), True),
        (lambda w: w[:, ::-1], True),
        (lambda w: w[3:, 4:], True),
        (lambda w: w[7:, 9:], True),
        (lambda w: np.lib.stride_tricks.as_strided(w, (4, 5), (160, 16)), True),
        (lambda w: w.copy(), False),
        (lambda w: w.astype(np.float32), False),
    ],
)
def test_arrays_that_share_memory_are_one_weight(other, is_shared):
    weight = np.ones((8, 10))
    view = other(weight)
    pruner = secateur.attach({"a": weight}, HALF)
    if is_shared:
        with pytest.raises(ModelError, match="x is being"):
            secateur.attach({"x": view}, HALF)
    else:
        secateur.attach({"x": view}, HALF).detach()
    pruner.detach()
    secateur.prune({"x": view}, HALF)


def test_parts_of_one_buffer_that_do_not_overlap_are_two_weights():
    buffer = random((200,))
    left, right = buffer[:80].reshape(8, 10), buffer[80:160].reshape(8, 10)
    rows = random((8, 10), seed=2)
    pruners = [secateur.attach({"w": w}, HALF) for w in (left, right, rows[::2], rows[1::2])]
    for pruner in pruners:
        pruner.step()
    assert (rows == 0).sum() == 40


def test_a_claim_dies_with_its_pruner():
    weights = {"a": random()}
    pruner = secateur.attach(weights, HALF)
    del pruner
    secateur.attach(weights, HALF).detach()
    pruner = secateur.attach(weights, HALF)
    pruner.itself = pruner  # a circle, which only the collector of garbage finds
    gc.disable()
    try:
        del pruner
        secateur.attach(weights, HALF).detach()
    finally:
        gc.enable()


def test_an_attach_that_failed_claims_nothing():
    weights = {"a": random(), "b": random(seed=1)}
    weights["b"][0, 0] = np.nan
    failures = [
        (WeightError, lambda: secateur.attach(weights, HALF)),
        (ModelError, lambda: secateur.attach(weights, HALF, optimizer=object())),
    ]
    for error, act in failures:
        with pytest.raises(error) as kept:  # with its traceback, and all that is alive by it
            act()
        secateur.attach(weights, only("a")).detach()
    assert kept
    weights["b"][0, 0] = 0
    taken = secateur.attach(weights, only("b"))
    with pytest.raises(ModelError):
        secateur.attach(weights, HALF)
    secateur.attach(weights, only("a")).detach()
    taken.detach()


def test_a_notebook_cell_that_is_run_again_is_told_so():
    weights = {"a": random()}
    pruner = secateur.attach(weights, HALF)
    with pytest.raises(ModelError, match="Call detach"):
        pruner = secateur.attach(weights, HALF)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pruner.detach()
    pruner = secateur.attach(weights, HALF)
    assert pruner.report().sparsity == 0.5


@pytest.mark.parametrize("other", [lambda w: w.T, lambda w: w[1:], lambda w: w.reshape(2, 12)])
def test_views_of_one_array_in_one_mapping_are_refused_before_anything_changes(other):
    w = random((4, 6))
    before = w.copy()
    for verb in (secateur.plan, secateur.attach, secateur.prune):
        with pytest.raises(ModelError, match=r"a \(4, 6\) and b .*views of the same memory"):
            verb({"a": w, "c": np.ones((2, 2)), "b": other(w)}, HALF)
    np.testing.assert_array_equal(w, before)
