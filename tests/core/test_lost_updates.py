"""An update of the masks that fails stays due: whatever raised, the run ends where it should."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import secateur
from secateur.errors import PluginError, ScheduleWarning, StateError, WeightError

ONE_SHOT = {"kind": "one_shot", "final_sparsity": 0.5, "begin_step": 2}
LINEAR = {"kind": "linear", "final_sparsity": 0.8, "end_step": 2, "frequency": 1}


def random(shape=(10, 10), seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def rules(schedule):
    """Two rules, so that the masks of one can be computed and those of the other not."""
    return {
        "schedule": schedule,
        "rules": [{"match": {"name": "a*"}}, {"match": {}, "criterion": "magnitude"}],
    }


@pytest.fixture
def observer():
    """An observer that raises what is put into its list."""
    raised = []

    @secateur.hookimpl
    def secateur_masks_updated(event):
        if raised:
            raise raised.pop()

    plugin = SimpleNamespace(secateur_masks_updated=secateur_masks_updated)
    secateur.register(plugin, "observer-that-fails")
    yield raised
    secateur.unregister("observer-that-fails")


@pytest.mark.parametrize("schedule", [ONE_SHOT, LINEAR], ids=["one_shot", "linear"])
@pytest.mark.parametrize("retry", [lambda p: p.step(0), lambda p: p.step(), lambda p: p.step(7)])
def test_an_update_that_a_nan_stops_is_made_up(schedule, retry):
    weight = random()
    pruner = secateur.attach({"w": weight}, {"schedule": schedule})
    pruner.step()
    largest = np.unravel_index(np.argmax(abs(weight)), weight.shape)
    kept, weight[largest] = weight[largest], np.nan
    with pytest.raises(WeightError):
        pruner.step()
    assert pruner.current_step == 2
    assert any("failed" in note for note in pruner.report().notes)
    weight[largest] = kept
    retry(pruner)
    assert pruner.report().notes == ()
    assert pruner.report().sparsity == schedule["final_sparsity"]
    assert (weight == 0).sum() == round(100 * schedule["final_sparsity"])
    for _ in range(100):
        pruner.step()
    assert pruner.report().sparsity == schedule["final_sparsity"]
    pruner.detach()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), ValueError("x"), OSError()])
def test_an_observer_that_raises_costs_no_update(observer, error):
    weight = random()
    pruner = secateur.attach({"w": weight}, {"schedule": LINEAR})
    observer.append(error)
    wanted = PluginError if isinstance(error, Exception) else type(error)
    with pytest.raises(wanted):
        pruner.step()
    assert pruner.current_step == 1
    assert pruner.report().sparsity == 0
    pruner.step(0)
    assert pruner.current_step == 1
    assert pruner.report().sparsity == 0.4
    pruner.step()
    assert pruner.report().sparsity == 0.8
    pruner.detach()


def test_a_failure_that_lasts_is_told_at_every_step_and_at_detach():
    weight = random()
    pruner = secateur.attach({"w": weight}, {"schedule": ONE_SHOT})
    weight[3, 4] = np.inf
    pruner.step()
    for step in (2, 3, 4):
        with pytest.raises(WeightError, match=r"\(3, 4\)"):
            pruner.step()
        assert pruner.current_step == step
    with pytest.warns(ScheduleWarning, match=r"has not begun at step 4.*since step 2 failed"):
        pruner.detach()


def test_when_one_rule_fails_no_rule_has_new_masks():
    first, second = random(seed=1), random(seed=2)
    pruner = secateur.attach({"a": first, "b": second}, rules(LINEAR))
    pruner.step()
    masks = dict(pruner.masks)
    before, kept = first.copy(), second[5, 5]
    second[5, 5] = np.nan
    with pytest.raises(WeightError):
        pruner.step()
    np.testing.assert_array_equal(first, before)
    assert all((pruner.masks[name] == masks[name]).all() for name in masks)
    second[5, 5] = kept
    pruner.step(0)
    assert [w.sparsity for w in pruner.report().weights] == [0.8, 0.8]
    pruner.detach()


def test_of_updates_that_failed_the_latest_is_made_up():
    weight = random()
    schedule = {"kind": "linear", "final_sparsity": 0.8, "end_step": 8, "frequency": 2}
    pruner = secateur.attach({"w": weight}, {"schedule": schedule})
    kept = weight[0, 0]
    weight[0, 0] = np.nan
    for updates in (2, 3):
        with pytest.raises(WeightError):
            pruner.step(updates)
    weight[0, 0] = kept
    pruner.step(0)
    assert pruner.current_step == 5
    assert pruner.report().sparsity == 0.4  # that of step 4
    with pytest.warns(ScheduleWarning):
        pruner.detach()


def test_a_schedule_that_begins_while_its_update_fails_has_begun():
    weight = random()
    when = {"monitor": "loss", "window": 1, "min_delta": 0.1}
    schedule = {"kind": "constant", "final_sparsity": 0.5, "frequency": 50, "begin_when": when}
    pruner = secateur.attach({"w": weight}, {"schedule": schedule})
    kept, weight[0, 0] = weight[0, 0], np.nan
    for _ in range(2):
        pruner.observe(loss=1.0)
        if pruner.current_step:
            with pytest.raises(WeightError):
                pruner.step()
        else:
            pruner.step()
    weight[0, 0] = kept
    pruner.observe(loss=0.1)  # an improvement, which would keep it waiting
    pruner.step()
    assert pruner.report().sparsity == 0.5
    assert pruner.report().notes == ()
    pruner.detach()


def test_an_update_that_is_due_goes_through_a_saved_state(tmp_path):
    weight = random()
    pruner = secateur.attach({"w": weight}, {"schedule": ONE_SHOT})
    weight[0, 0] = np.nan
    with pytest.raises(WeightError):
        pruner.step(2)
    pruner.save(tmp_path / "state.npz")
    states = [pruner.state_dict()]
    with pytest.warns(ScheduleWarning):
        pruner.detach()
    for act in (lambda p: p.load(tmp_path / "state.npz"), lambda p: p.load_state_dict(states[0])):
        again = random()
        resumed = secateur.attach({"w": again}, {"schedule": ONE_SHOT})
        act(resumed)
        assert resumed.current_step == 2
        resumed.step()
        assert (again == 0).sum() == 50
        resumed.detach()


@given(
    fails=st.sets(st.integers(0, 11), max_size=8),
    updates=st.lists(st.integers(1, 4), min_size=6, max_size=12),
    schedule=st.sampled_from(
        [
            ONE_SHOT,
            LINEAR,
            {"kind": "constant", "final_sparsity": 0.3, "begin_step": 3, "frequency": 4},
            {"kind": "polynomial", "final_sparsity": 0.9, "begin_step": 1, "end_step": 6},
            {"kind": "cosine", "final_sparsity": 0.7, "end_step": 5, "frequency": 2},
            {"kind": "piecewise", "points": [(1, 0.2), (5, 0.6)], "frequency": 1},
        ]
    ),
)
@settings(max_examples=settings().max_examples // 2)
def test_whichever_updates_fail_the_run_ends_where_it_should(fails, updates, schedule):
    weight, twin = random(), random()
    pruner = secateur.attach({"w": weight}, {"schedule": schedule})
    whole = secateur.attach({"w": twin}, {"schedule": schedule})
    for number, count in enumerate(updates):
        index = tuple(np.argwhere(weight)[0])
        kept = weight[index]
        if number in fails:
            weight[index] = np.nan
        try:
            pruner.step(count)
        except WeightError:
            assert number in fails
        weight[index] = kept
        whole.step(count)
        assert pruner.current_step == whole.current_step
    pruner.step(0)
    assert pruner.current_step == whole.current_step == sum(updates)
    assert pruner.report().sparsity == whole.report().sparsity
    assert pruner.report().notes == whole.report().notes


@pytest.mark.parametrize(
    "updates", ["1", 1.0, 1.5, True, None, float("nan"), [1], np.array([1, 2]), 2**62, -1]
)
def test_what_is_no_number_of_updates_is_refused_and_nothing_moves(updates):
    pruner = secateur.attach({"w": random()}, {"schedule": LINEAR})
    with pytest.raises(StateError, match="updates=") as refused:
        pruner.step(updates)
    assert len(str(refused.value)) < 300
    assert pruner.current_step == 0
    pruner.step(np.int64(2))
    assert pruner.current_step == 2
    pruner.detach()


@pytest.mark.parametrize("value", ["0.3", None, True, [0.3], np.ones(2), object(), 1j, 10**400])
def test_what_is_no_value_is_not_observed(value):
    """What is not monitored may be a collection, as a metric of Keras for each class is."""
    when = {"monitor": "loss", "window": 1}
    policy = {"schedule": {**ONE_SHOT, "begin_when": when}}
    pruner = secateur.attach({"w": random()}, policy)
    with pytest.raises(StateError, match="observe"):
        pruner.observe(loss=value, accuracy=1.0)
    pruner.observe(loss=np.float32(0.5), by_class=np.ones(3), more={"a": 1})
    pruner.observe(loss=1)
    pruner.step(2)
    assert pruner.report().sparsity == 0.5
    pruner.detach()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e308])
def test_a_loss_that_is_no_number_is_no_convergence_and_no_error(bad):
    when = {"monitor": "loss", "window": 2}
    policy = {"schedule": {**ONE_SHOT, "begin_step": 0, "begin_when": when}}
    pruner = secateur.attach({"w": random()}, policy)
    for value in (1.0, bad, bad, bad):
        pruner.observe(loss=value)
        pruner.step()
    if abs(bad) != 1e308:
        assert not pruner.masks
    assert pruner.current_step == 4
    for _ in range(4):
        pruner.observe(loss=1.0)
        pruner.step()
    assert pruner.report().sparsity == 0.5
    pruner.detach()
