"""A report says what the weights hold, whatever was done to them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import secateur
from secateur.errors import ModelError, StateWarning
from secateur.numpy_adapter import ArrayBinding, ArrayWeight

HALF = {"schedule": {"kind": "constant", "final_sparsity": 0.5}}
LATER = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5, "begin_step": 3}}


def random(shape=(8, 10), seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def put_back(weights):
    weights["a"][...] = random(seed=5)


def replace_array(weights):
    weights["a"] = random(seed=5)


def remove(weights):
    del weights["a"]


def reshape(weights):
    weights["a"] = random((4, 20))


def reshape_in_place(weights):
    weights["a"].shape = (4, 20)


def change_dtype(weights):
    weights["a"] = weights["a"].astype(np.float32)


def change_dtype_in_place(weights):
    weights["a"].dtype = np.int64


def transpose(weights):
    weights["a"] = weights["a"].T.copy().T


def make_something_else(weights):
    weights["a"] = [1.0, 2.0]


def clear(weights):
    weights.clear()


SURGERY = [replace_array, remove, reshape, reshape_in_place, change_dtype, change_dtype_in_place]
SURGERY += [transpose, make_something_else, clear]
deprecated = pytest.mark.filterwarnings("ignore:Setting the (shape|dtype):DeprecationWarning")
"""NumPy 2.5 advises against what `reshape_in_place` and `change_dtype_in_place` do."""


@deprecated
@pytest.mark.parametrize("act", SURGERY)
def test_a_weight_that_is_not_the_one_attached_is_named_and_counts_as_not_pruned(act, tmp_path):
    weights = {"a": random(), "b": random(seed=1)}
    pruner = secateur.attach(weights, HALF)
    act(weights)
    report = pruner.report()
    by_name = {weight.name: weight for weight in report.weights}
    assert by_name["a"].sparsity == 0
    assert by_name["b"].sparsity == (0 if act is clear else 0.5)
    assert any(note.startswith("a ") for note in report.notes)
    for save in (pruner.state_dict, lambda: pruner.save(tmp_path / "state.npz"), pruner.detach):
        with pytest.warns(StateWarning) as caught:
            save()
        assert str(caught[0].message).startswith("a ")
    assert not pruner.attached
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pruner.state_dict()  # of a detached pruner: of the run that it was


@deprecated
@pytest.mark.parametrize("act", [reshape_in_place, change_dtype_in_place])
def test_a_step_that_cannot_mask_names_the_weight_and_changes_nothing(act):
    weights = {"a": random(), "b": random(seed=1)}
    pruner = secateur.attach(weights, HALF)
    act(weights)
    weights["b"] += 1
    before = weights["b"].copy()
    with pytest.raises(ModelError, match=r"^a .* now.*detach"):
        pruner.step()
    np.testing.assert_array_equal(weights["b"], before)


def test_the_same_memory_under_another_object_is_the_same_weight():
    weights = {"a": random(), "b": random(seed=1)}
    pruner = secateur.attach(weights, HALF)
    weights["a"] = weights["a"][:]
    weights["b"] = (weights["b"], "dense")
    assert pruner.report().notes == ()
    assert pruner.report().sparsity == 0.5


def test_values_that_come_back_are_counted_and_masked_by_the_next_step():
    weights = {"a": random(), "b": random(seed=1)}
    pruner = secateur.attach(weights, HALF)
    put_back(weights)
    report = pruner.report()
    assert [weight.sparsity for weight in report.weights] == [0, 0.5]
    assert report.kept == 120
    assert pruner.masks["a"].sum() == 40
    with pytest.warns(StateWarning, match=r"pruned values of a are not zero"):
        pruner.state_dict()
    pruner.step(0)
    assert pruner.report().sparsity == 0.5
    weights["a"][~pruner.masks["a"]] = np.arange(40) % 2  # half of them
    assert pruner.report().weights[0].kept == 60
    with pytest.warns(StateWarning, match="pruned values of a are not zero"):
        pruner.detach()


def test_after_detach_a_report_still_counts_the_weights():
    weights = {"a": random()}
    pruner = secateur.attach(weights, HALF)
    pruner.detach()
    assert pruner.report().notes == ()
    assert pruner.report().sparsity == 0.5
    put_back(weights)
    report = pruner.report()
    assert report.sparsity == 0
    assert "after pruner.detach()" in report.notes[0]


@pytest.mark.parametrize("error", [RuntimeError("meta"), NotImplementedError(), StopIteration()])
@pytest.mark.parametrize("method", ["nonzero_pruned", "model_changes", "updates", "release"])
def test_a_model_that_cannot_be_read_is_let_go_of_all_the_same(monkeypatch, method, error):
    def fail(self):
        raise error

    weights = {"a": random()}
    pruner = secateur.attach(weights, HALF)
    with monkeypatch.context() as patch:
        patch.setattr(ArrayBinding, method, fail)
        if method == "nonzero_pruned":
            patch.setattr(ArrayWeight, "read", fail)
        report = pruner.report()
        assert report.sparsity == (0 if method == "nonzero_pruned" else 0.5)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            pruner.detach()
    assert not pruner.attached
    assert all(issubclass(warning.category, StateWarning) for warning in caught)
    assert len(caught) == (method != "updates")
    secateur.attach(weights, HALF).detach()


def test_asking_for_the_pruner_in_words_and_for_its_masks_looks_at_no_weight(monkeypatch):
    pruner = secateur.attach({"a": random()}, HALF)
    monkeypatch.setattr(ArrayBinding, "nonzero_pruned", lambda _: pytest.fail("looked"))
    monkeypatch.setattr(ArrayBinding, "model_changes", lambda _: pytest.fail("looked"))
    assert "sparsity 0.5000" in repr(pruner)
    assert list(pruner.masks) == ["a"]


def test_a_report_says_how_much_of_the_whole_model_is_zero():
    weights = {"a": random(), "bias": random((7,)), "ids": np.arange(5)}
    report = secateur.prune(weights, HALF)
    assert (report.zeros, report.parameters, report.left_dense) == (40, 92, 12)
    assert "40 of 92 parameters are pruned; 12 are in layers left dense" in str(report)
    assert report.to_dict()["parameters"] == 92
    pruner = secateur.attach({"a": random()}, LATER)
    assert "0 of 80 parameters are pruned\n" in str(pruner.report())


def test_a_model_whose_arrays_are_made_anew_at_each_look_is_not_said_to_be_pruned(tmp_path):
    np.savez(tmp_path / "model.npz", a=random())
    with np.load(tmp_path / "model.npz") as model:
        report = secateur.prune(model, HALF)
    assert report.sparsity == 0
    assert "another array" in report.notes[0]


@pytest.mark.parametrize(("before", "asked"), [(0.8, 0.3), (0.8, 0.0), (0.5, 0.3)])
def test_pruning_less_than_before_says_that_there_are_more_zeros(before, asked):
    weights = {"a": random((20, 20)), "b": random((20, 20), seed=1)}
    secateur.prune({"a": weights["a"]}, once(before))
    report = secateur.prune(weights, once(asked))
    (note,) = report.notes
    assert f"a ({before:.4f})" in note
    assert "b (" not in note
    assert secateur.prune(weights, once(before)).notes == ()


def once(sparsity):
    return {"schedule": {"kind": "one_shot", "final_sparsity": sparsity}}


GRADUAL = {"kind": "linear", "final_sparsity": 0.9, "end_step": 10, "frequency": 1}


@pytest.mark.parametrize(
    "schedule",
    [
        GRADUAL | {"final_sparsity": 0.8},
        GRADUAL | {"initial_sparsity": 0.5, "final_sparsity": 0.7},
        {"kind": "constant", "final_sparsity": 0.5, "begin_step": 5},
        {"kind": "constant", "final_sparsity": 0.5},
        {"kind": "one_shot", "final_sparsity": 0.8, "begin_step": 2},
    ],
)
def test_attaching_a_model_that_is_sparser_than_its_schedule_starts_warns(schedule):
    weights = {"a": random((20, 20)), "b": random((20, 20), seed=1)}
    secateur.prune({"a": weights["a"]}, once(0.8))
    with pytest.warns(StateWarning, match=r"a \(0\.8000\)") as caught:
        secateur.attach(weights, {"schedule": schedule})
    assert "b (" not in str(caught[0].message)
    assert caught[0].filename == __file__


def test_half_way_it_is_said_at_the_first_step_unless_a_run_is_resumed(tmp_path):
    weights = {"a": random((20, 20))}
    first = secateur.attach(weights, {"schedule": GRADUAL})
    first.step(5)
    first.save(tmp_path / "state.npz")
    again = {"a": weights["a"].copy()}
    resumed = secateur.attach(again, {"schedule": GRADUAL})
    resumed.load(tmp_path / "state.npz")
    resumed.step()
    new = secateur.attach({"a": again["a"].copy()}, {"schedule": GRADUAL})
    assert "a (0.5400)" in new.report().notes[-1]
    with pytest.warns(StateWarning, match=r"a \(0\.5400\)"):
        new.step()
    new.step()
    assert len(new.report().notes) == 1


@pytest.mark.sampled(5)
@pytest.mark.parametrize("distribution", ["uniform", "erk", "global", "lamp"])
@pytest.mark.parametrize("pattern", [{"kind": "unstructured"}, {"kind": "block", "out": 3}])
@pytest.mark.parametrize("begins", [{}, {"begin_when": {"monitor": "loss", "latest": 0}}])
def test_a_run_that_is_resumed_at_any_step_warns_of_nothing(
    distribution, pattern, begins, tmp_path
):
    rules = [{"match": {}, "distribution": distribution, "pattern": pattern}]
    policy = {"schedule": GRADUAL | begins, "rules": rules}
    weights = {"a": random((20, 20)), "b": random((11, 7), seed=1)}
    pruner = secateur.attach(weights, policy)
    for step in range(13):
        pruner.save(tmp_path / "state.npz")
        resumed = secateur.attach({name: array.copy() for name, array in weights.items()}, policy)
        resumed.load(tmp_path / "state.npz")
        assert resumed.current_step == step
        resumed.step()
        pruner.step()


@pytest.mark.parametrize("distribution", ["uniform", "erk", "global", "lamp"])
@pytest.mark.parametrize(
    "pattern", [{"kind": "unstructured"}, {"kind": "block", "out": 4}, {"kind": "channel"}]
)
def test_a_model_that_is_as_sparse_as_its_schedule_starts_is_no_matter(distribution, pattern):
    weights = {"a": random((40, 12)), "b": random((9, 30), seed=1), "c": np.zeros((5, 5))}
    rules = [{"match": {}, "distribution": distribution, "pattern": pattern}]
    policy = {"schedule": {"kind": "constant", "final_sparsity": 0.6}, "rules": rules}
    assert secateur.prune(weights, policy).notes == ()
    secateur.attach(weights, policy).detach()


def test_an_array_that_became_read_only_is_refused_by_name_and_the_step_is_not_counted():
    weights = {"a": random()}
    pruner = secateur.attach(weights, HALF)
    weights["a"].flags.writeable = False
    with pytest.raises(ModelError, match="a: the array is read-only"):
        pruner.step()
    assert pruner.current_step == 0
    weights["a"].flags.writeable = True
    pruner.step()
    assert pruner.current_step == 1


def test_arrays_of_other_classes_are_pruned_in_place_or_left_dense_with_the_reason():
    weights = {"a": np.ma.masked_array(random(), random() > 0), "b": random()}
    weights["c"] = random(seed=1).view(np.matrix)
    report = secateur.prune(weights, HALF)
    assert [weight.name for weight in report.weights] == ["b", "c"]
    assert np.count_nonzero(weights["c"]) == weights["c"].size // 2
    assert "masked array" in secateur.plan(weights, HALF).skipped[0].reason
    with pytest.raises(ModelError, match="names of weights are strings"):
        secateur.plan({1: random()}, HALF)
