"""The zeros of a model that was pruned elsewhere are its masks, and stay zero."""

from __future__ import annotations

import numpy as np
import pytest

import secateur
from secateur.errors import ModelError, PolicyError, StateWarning, WeightError
from secateur.masks.compute import compute
from secateur.masks.zeros import zeros_found
from secateur.policy.policy import as_policy
from tests.core import test_sharded as sharded

KEEP = {"schedule": {"kind": "keep_zeros"}}
BLOCKS = KEEP | {"pattern": {"kind": "block", "out": 2, "in": 2}}
SETS = KEEP | {"pattern": {"kind": "n_m", "keep": 2, "of": 4}}


def pruned(pattern="unstructured", sparsity=0.5, shape=(6, 8)):
    weight = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    schedule = {"kind": "one_shot", "final_sparsity": sparsity}
    secateur.prune({"w": weight}, {"schedule": schedule, "pattern": pattern})
    return weight


def test_zeros_stay_zero_in_training_and_become_plus_zero():
    weight = pruned()
    weight[0] = -0.0
    zero = weight == 0
    model = {"w": weight, "dense": np.ones((2, 2))}
    pruner = secateur.attach(model, KEEP, total_steps=3)
    np.testing.assert_array_equal(pruner.masks["w"], ~zero)
    for _ in range(3):
        weight += 1
        pruner.step()
        np.testing.assert_array_equal(weight == 0, zero)
    assert not np.signbit(weight[zero]).any()
    assert pruner.masks["dense"].all()
    assert not pruner.report().notes
    assert secateur.verify(model, KEEP, state=pruner.state_dict()).holds


def test_a_run_that_goes_on_has_the_masks_of_its_state():
    first = secateur.attach({"w": pruned()}, KEEP)
    fresh = {"w": np.ones((6, 8), np.float32)}
    second = secateur.attach(fresh, KEEP)  # no warning: a state may be loaded next
    second.load_state_dict(first.state_dict())
    second.step()
    np.testing.assert_array_equal(fresh["w"] != 0, first.masks["w"])


def test_a_model_without_zeros_is_named_at_the_first_step():
    pruner = secateur.attach({"w": np.ones((6, 8))}, KEEP)
    with pytest.warns(StateWarning, match="load the pruned weights before"):
        pruner.step()


@pytest.mark.parametrize("policy", [BLOCKS, SETS, KEEP | {"pattern": "channel"}])
def test_a_pattern_that_holds_says_nothing(policy):
    weight = pruned(policy["pattern"], shape=(6, 10))
    plan = secateur.plan({"w": weight.copy()}, policy)
    assert plan.policy_notes == (f"rule 1 keeps {np.sum(weight == 0)} zeros of 60 weights",)
    assert "by zeros" in str(plan)
    pruner = secateur.attach({"w": weight}, policy)
    np.testing.assert_array_equal(pruner.masks["w"], weight != 0)
    assert secateur.verify({"w": weight}, policy).holds


def test_a_block_with_some_zeros_is_counted_and_they_stay_zero():
    weight = pruned(BLOCKS["pattern"])
    weight[weight != 0] = np.where(np.arange((weight != 0).sum()) == 5, 0, weight[weight != 0])
    with pytest.warns(StateWarning, match=r"groups that have zeros .*: w \(1 of 12\)"):
        pruner = secateur.attach({"w": weight}, BLOCKS)
    np.testing.assert_array_equal(pruner.masks["w"], weight != 0)
    assert "w (1 of 12)" in secateur.plan({"w": weight}, BLOCKS).policy_notes[1]


def test_sets_with_too_many_values_are_refused_with_their_count():
    weight = pruned(SETS["pattern"])
    weight[2, :4] = 1
    before = weight.copy()
    assert "w (1 of 12 sets)" in secateur.plan({"w": weight}, SETS).policy_notes[1]
    for run in (secateur.attach, secateur.prune):
        with pytest.raises(ModelError, match=r"w \(1 of 12 sets\)"):
            run({"w": weight}, SETS)
    np.testing.assert_array_equal(weight, before)
    secateur.attach({"w": weight}, KEEP)  # nothing is claimed after the error


def test_a_weight_that_is_zero_throughout_is_named():
    with pytest.warns(StateWarning, match="zero throughout stay so: v"):
        secateur.attach({"w": pruned(), "v": np.zeros((2, 2))}, KEEP)


def test_criteria_that_watch_training_ask_for_nothing():
    pruner = secateur.attach({"w": pruned()}, KEEP | {"criterion": "movement"})
    pruner.step()
    assert not pruner.plan.memory


def test_a_value_that_is_no_number_is_an_error():
    with pytest.raises(WeightError, match=r"w: the value at \(0, 1\)"):
        secateur.attach({"w": np.array([[0.0, np.nan]])}, KEEP)
    with pytest.raises(PolicyError, match="unknown key"):
        secateur.plan({"w": np.eye(2)}, {"schedule": {"kind": "keep_zeros", "begin_step": 3}})


@pytest.mark.parametrize("pattern", ["block 4x1", "2:4", "channel in", "unstructured"])
@pytest.mark.parametrize("way", ["wildly", "by columns"])
def test_shards_hold_what_the_whole_holds(pattern, way):
    policy = as_policy(KEEP | {"pattern": sharded.PATTERNS[pattern]})
    method = policy.resolved_rules[0].method
    rng = np.random.default_rng(0)
    weights = sharded.model(rng, np.float32, 2)
    dealt = sharded.shares(rng, weights, 3, way)

    def work(workers):
        mine = dealt[workers.rank]
        found = [zeros_found(method, weight, workers) for weight in mine]
        return found, compute(method, mine, 0.0, 0, None, workers)

    parts = sharded.on_workers(3, work)
    masks = sharded.assemble([each.spec for each in weights], dealt, [part[1] for part in parts])
    for number, weight in enumerate(weights):
        expected = zeros_found(method, weight)
        assert all(found[number] == expected for found, _ in parts)
        np.testing.assert_array_equal(masks[weight.spec.name], weight.read() != 0)
