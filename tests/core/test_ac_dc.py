"""AC/DC: phases with and without masks, that end compressed (Peste et al. 2021)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import secateur

SCHEDULE = {"kind": "ac_dc", "final_sparsity": 0.75, "begin_step": 2, "end_step": 9, "frequency": 2}
POLICY = {"schedule": SCHEDULE}


def phases(begin, end, frequency):
    """Walk through a run and return, by step, the sparsity that is set there."""
    found, step, compressed = {}, begin, True
    while step < end:
        found[step] = 0.9 if compressed else 0.0
        step, compressed = step + frequency, not compressed
    return {**found, end: 0.9}


@given(st.integers(1, 20), st.integers(2, 60), st.integers(1, 30))
def test_phases_alternate_and_the_last_one_is_compressed(begin, length, frequency):
    if frequency >= length:
        with pytest.raises(secateur.PolicyError, match="no decompressed phase"):
            secateur.Policy.parse({"schedule": _schedule(begin, begin + length, frequency)})
        return
    schedule = secateur.Policy.parse(
        {"schedule": _schedule(begin, begin + length, frequency)}
    ).schedule
    wanted = phases(begin, begin + length, frequency)
    steps = range(begin + length + 50)
    assert {t: schedule.sparsity(t) for t in steps if schedule.updates_at(t)} == wanted
    set_last = 0.0
    for step in steps:  # between two updates the sparsity stays
        set_last = wanted.get(step, set_last)
        assert schedule.sparsity(step) == set_last


def _schedule(begin, end, frequency):
    steps = {"begin_step": begin, "end_step": end, "frequency": frequency}
    return {"kind": "ac_dc", "final_sparsity": 0.9, **steps}


def test_percentages_and_an_open_frequency_are_a_tenth_of_the_way():
    policy = secateur.Policy.parse(
        {"schedule": {**SCHEDULE, "begin_step": "10%", "end_step": "90%", "frequency": None}}
    )
    resolved = policy.schedule.with_total_steps(100)
    assert (resolved.begin_step, resolved.end_step, resolved.frequency) == (10, 90, 8)
    other = secateur.Policy.parse(
        {"schedule": {**SCHEDULE, "begin_step": "10%", "end_step": "90%", "frequency": 100}}
    )
    assert other.fingerprint != policy.fingerprint


def train(weights, pruner, steps, seed=0):
    """Move every weight, as an optimizer with momentum does, and return what was seen."""
    seen = []
    for _ in range(steps):
        step = pruner.current_step
        noise = np.random.default_rng([seed, step]).normal(size=weights["fc"].shape)
        weights["fc"] += 0.3 * noise.astype(np.float32)
        pruner.step()
        mask = pruner.masks.get("fc", np.ones(weights["fc"].shape, bool))
        assert not weights["fc"].view(np.uint32)[~mask].any()
        if "fc" in pruner.revived:
            assert not weights["fc"].view(np.uint32)[pruner.revived["fc"]].any()
        seen.append((int(mask.sum()), int(pruner.revived.get("fc", np.zeros(1)).sum())))
    return seen


def test_weights_are_free_in_decompressed_phases_and_chosen_anew_afterwards(tmp_path):
    weights = {"fc": np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)}
    pruner = secateur.attach(weights, POLICY)
    assert train(weights, pruner, 3) == [(64, 0), (16, 0), (16, 0)]
    first, at_three = pruner.masks["fc"], weights["fc"].copy()
    pruner.save(tmp_path / "three.npz")
    assert train(weights, pruner, 3) == [(64, 48), (64, 0), (16, 0)]
    assert (pruner.masks["fc"] & ~first).any(), "no weight took the place of another"
    assert "has come to sparsity 0" not in str(pruner.report().notes)
    assert train(weights, pruner, 4) == [(16, 0), (64, 48), (16, 0), (16, 0)]
    assert not pruner.report().notes
    assert secateur.verify(weights, POLICY).holds
    # resumed from the middle, in a decompressed phase too: the same bits
    for resumed_at in (3, 4):
        again = {"fc": at_three.copy()}
        resumed = secateur.attach(again, POLICY)
        resumed.load(tmp_path / "three.npz")
        train(again, resumed, resumed_at - 3)
        resumed.save(tmp_path / "middle.npz")
        last = {"fc": again["fc"].copy()}
        more = secateur.attach(last, POLICY)
        more.load(tmp_path / "middle.npz")
        train(last, more, 10 - resumed_at)
        np.testing.assert_array_equal(last["fc"].view(np.uint32), weights["fc"].view(np.uint32))


def test_verify_knows_what_a_decompressed_phase_asks():
    weights = {"fc": np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)}
    pruner = secateur.attach(weights, POLICY)
    train(weights, pruner, 5)
    dense = {"fc": np.ones((8, 8), np.float32)}
    assert secateur.verify(dense, POLICY, at=5).holds
    assert not secateur.verify(dense, POLICY, at=6).holds
