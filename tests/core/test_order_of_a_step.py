"""What happens when: the order of a step, masks that only shrink, bits that are clear."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import DTYPES

import secateur
from secateur.errors import ScheduleWarning, StateError


def policy(kind="linear", **settings):
    schedule = {"kind": kind, "final_sparsity": 0.5, "end_step": 4, "frequency": 1}
    if kind in ("one_shot", "constant"):
        del schedule["end_step"]
    if kind == "one_shot":
        del schedule["frequency"]
    return {"schedule": schedule | settings}


def random(shape=(4, 6), dtype="float32", seed=0):
    values = np.random.default_rng(seed).standard_normal(shape)
    return values.astype(DTYPES[dtype])


def bits(array):
    return array.view(f"u{array.dtype.itemsize}")


def test_attaching_evaluates_step_zero():
    weight = random()
    before = weight.copy()
    pruner = secateur.attach({"w": weight}, policy("constant"))
    assert pruner.current_step == 0
    np.testing.assert_array_equal(pruner.masks["w"], reference.unstructured(before, 0.5))
    assert (weight == 0).sum() == 12


def test_a_schedule_that_begins_later_leaves_the_weights_alone():
    weight = random()
    before = weight.copy()
    pruner = secateur.attach({"w": weight}, policy("constant", begin_step=2))
    np.testing.assert_array_equal(weight, before)
    assert "w" not in pruner.masks
    pruner.step()
    np.testing.assert_array_equal(weight, before)
    pruner.step()
    assert (weight == 0).sum() == 12


def test_an_update_is_masked_before_new_masks_are_computed():
    weight = random()
    pruner = secateur.attach({"w": weight}, policy(initial_sparsity=0.25))
    pruned = ~pruner.masks["w"]
    weight += np.float32(10) * np.where(pruned, -1, 0)  # momentum moves pruned weights most
    pruner.step()
    assert not pruner.masks["w"][pruned].any()
    assert (weight[pruned] == 0).all()


def test_masks_are_computed_from_the_weights_after_the_update():
    weight = np.arange(1.0, 25).reshape(4, 6)
    pruner = secateur.attach({"w": weight}, policy(begin_step=1, end_step=2))
    weight *= -1
    weight += 25  # the order of magnitudes turns round
    pruner.step(2)
    np.testing.assert_array_equal(pruner.masks["w"].ravel(), np.arange(24) < 12)


def test_the_mask_in_force_holds_between_updates_of_the_masks():
    weight = random()
    pruner = secateur.attach({"w": weight}, policy("constant", frequency=100))
    mask = pruner.masks["w"].copy()
    for _ in range(5):
        weight += 1
        pruner.step()
        np.testing.assert_array_equal(weight == 0, ~mask)


@pytest.mark.parametrize(("steps", "target"), [(1, 0.0), (3, 0.2), (5, 0.4), (7, 0.4)])
def test_of_several_steps_at_once_the_latest_due_one_is_carried_out(steps, target):
    weight = random((5, 10))
    schedule = policy(end_step=5, frequency=2)
    schedule["schedule"]["initial_sparsity"] = 0.0
    schedule["schedule"]["final_sparsity"] = 0.4 if steps > 4 else 0.5
    pruner = secateur.attach({"w": weight}, schedule)
    pruner.step(steps)
    assert pruner.current_step == steps
    assert (~pruner.masks["w"]).sum() == round(50 * target)


def test_steps_one_by_one_and_at_once_end_at_the_same_target():
    one, many = random((6, 9)), random((6, 9))
    first = secateur.attach({"w": one}, policy())
    second = secateur.attach({"w": many}, policy())
    for _ in range(4):
        first.step()
    second.step(4)
    np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize("dtype", DTYPES)
@given(
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=6),
    pattern=st.sampled_from(
        [
            {"kind": "unstructured"},
            {"kind": "block", "out": 2, "in": 4},
            {"kind": "channel", "axis": "in"},
        ]
    ),
)
@settings(max_examples=settings().max_examples // 2)
def test_a_run_keeps_every_promise(dtype, seeds, pattern):
    """Exact counts, masks that only shrink, all bits clear where pruned, after every step."""
    weight = random((6, 8), dtype)
    rules = [{"match": {}, "pattern": pattern}]
    pruner = secateur.attach({"w": weight}, policy(end_step=3) | {"rules": rules})
    groups = {"unstructured": 48, "block": 6, "channel": 8}[pattern["kind"]]
    before = pruner.masks["w"]
    for step, seed in enumerate(seeds, 1):
        weight += random((6, 8), dtype, seed)
        weight *= np.asarray(-1, weight.dtype)
        pruner.step()
        mask = pruner.masks["w"]
        target = pruner.plan.rule_weights[0].method.schedule.sparsity(min(step, 3))
        assert mask.sum() * groups == reference.kept(groups, target) * 48
        assert not (mask & ~before).any()
        assert (bits(weight)[~mask] == 0).all()
        assert (weight[mask] != 0).any() or not mask.any()
        before = mask


@pytest.mark.parametrize("layout", ["c", "f", "sliced"])
def test_minus_zero_is_never_left(layout):
    weight = -np.ones((8, 12), np.float32, order="F" if layout == "f" else "C")
    if layout == "sliced":
        weight = -np.ones((8, 24), np.float32)[:, ::2]
    secateur.prune({"w": weight}, policy("one_shot"))
    assert (weight == 0).sum() == 48
    assert not np.signbit(weight[weight == 0]).any()


def test_masks_are_read_only_and_an_old_one_is_not_changed():
    weight = random()
    pruner = secateur.attach({"w": weight}, policy())
    pruner.step()
    old = pruner.masks["w"]
    kept = old.copy()
    with pytest.raises(ValueError, match="read-only"):
        old[0, 0] = False
    pruner.step(3)
    np.testing.assert_array_equal(old, kept)
    assert (pruner.masks["w"] != old).any()


def test_prune_equals_attach_at_the_final_sparsity():
    one, two = random((7, 9)), random((7, 9))
    report = secateur.prune({"w": one}, policy())
    secateur.attach({"w": two}, policy("constant"))
    np.testing.assert_array_equal(one, two)
    assert report.sparsity == pytest.approx((63 - reference.kept(63, 0.5)) / 63)


def test_detaching_early_says_what_was_not_reached():
    weight = random()
    pruner = secateur.attach({"w": weight}, policy())
    pruner.step()
    with pytest.warns(ScheduleWarning, match=r"sparsity 0\.125 at step 1; its final"):
        pruner.detach()


def test_the_same_array_twice_is_pruned_once():
    weight = random()
    plan = secateur.plan({"a": weight, "b": weight}, policy())
    assert [planned.spec.name for planned in plan.weights] == ["a"]


def test_random_is_the_same_on_every_layout_in_memory_and_after_a_resume(tmp_path):
    by_chance = policy() | {"rules": [{"match": {}, "criterion": {"kind": "random", "seed": 3}}]}

    def run(weight, steps, pruner=None):
        pruner = pruner or secateur.attach({"w": weight}, by_chance)
        for _ in range(steps):
            pruner.step()
        return pruner

    whole = run(random(), 4)
    turned = run(np.asfortranarray(random()), 4)
    np.testing.assert_array_equal(whole.masks["w"], turned.masks["w"])
    first = run(random(), 2)
    first.save(tmp_path / "state.npz")
    second = secateur.attach({"w": random()}, by_chance)
    second.load(tmp_path / "state.npz")
    np.testing.assert_array_equal(whole.masks["w"], run(None, 2, second).masks["w"])
    assert (whole.masks["w"] != reference.unstructured(random(), 0.5)).any()


def test_a_pruner_is_neither_copied_nor_pickled():
    pruner = secateur.attach({"w": np.ones((2, 2))}, policy("constant"))
    for act in (copy.deepcopy, copy.copy, pickle.dumps):
        with pytest.raises(TypeError, match=r"state_dict\(\), and attach"):
            act(pruner)


def test_a_mapping_whose_values_come_back_is_told_and_masked_again():
    weights = {"w": np.arange(1.0, 5.0).reshape(2, 2)}
    pruner = secateur.attach(weights, policy("constant"))
    weights["w"][:] = 1
    assert "pruner.step(0) masks them" in pruner.report().notes[0]
    pruner.step(0)
    assert pruner.report().notes == ()
    assert weights["w"].tolist() == [[0, 0], [1, 1]]
    assert pruner.current_step == 0


def test_steps_only_go_on_and_end_with_detach():
    pruner = secateur.attach({"w": np.ones((2, 2))}, policy("constant"))
    with pytest.raises(StateError, match="steps only go on"):
        pruner.step(updates=-1)
    pruner.detach()
    with pytest.raises(StateError, match="was detached"):
        pruner.step()
