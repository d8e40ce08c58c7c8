"""Criteria that watch training: gradients by `step`, memory, and what is said when they lack."""

from __future__ import annotations

import warnings
from typing import ClassVar

import numpy as np
import pytest
from test_sharded import Whole, on_workers, shares

import secateur
from secateur.adapter import WeightSpec
from secateur.arrays import sizes
from secateur.components.criteria import Criterion, Movement
from secateur.errors import ModelError, PluginError, PolicyError, StateError, WeightError
from secateur.masks import memory as memories
from secateur.masks.gradients import Gradients
from secateur.run.saved import sharded_state

KINDS = ["gradient_magnitude", "saliency", {"kind": "saliency", "decay": 0.5}, "movement", "fisher"]


def policy(criterion, begin=2, final=0.5, **settings):
    schedule = {"kind": "constant", "final_sparsity": final, "begin_step": begin, "frequency": 1}
    return {"criterion": criterion, "schedule": schedule | settings}


def inputs(steps=4, shape=(6, 5), dtype=np.float32):
    rng = np.random.default_rng(0)
    return rng.normal(size=shape).astype(dtype), [
        rng.normal(size=shape).astype(dtype) for _ in range(steps)
    ]


def run(criterion, order="C", through=None, **settings):
    """Train by plain gradient descent; `through` saves and loads the state at step 2."""
    start, gradients = inputs()
    weights = {"fc": np.array(start, order=order)}
    pruner = secateur.attach(weights, policy(criterion, **settings))
    for number, gradient in enumerate(gradients):
        if number == 2 and through is not None:
            pruner = through(weights, pruner, policy(criterion, **settings))
        weights["fc"] -= np.float32(0.1) * gradient
        pruner.step(gradients={"fc": gradient})
    return pruner.masks["fc"], {k: np.array(v) for k, v in pruner.state_dict().items()}


def naive(criterion):
    """Return the mask by plain loops over values, from the definitions in the docs."""
    start, gradients = inputs()
    weight, alive = start.copy(), np.ones(start.shape, bool)
    memory = np.zeros(start.shape, np.float32)
    for step, gradient in enumerate(gradients, 1):
        weight = np.where(alive, weight - np.float32(0.1) * gradient, np.float32(0))
        w, g = weight.astype(np.float64), gradient.astype(np.float64)
        match criterion:
            case "gradient_magnitude":
                score = np.abs(g)
            case "saliency":
                score = np.abs(w * g)
            case {"kind": "saliency"}:
                memory = (0.5 * memory + 0.5 * np.abs(w * g)).astype(np.float32)
                score = memory
            case "movement":
                memory = (memory - w * g).astype(np.float32)
                score = memory
            case "fisher":
                memory = (0.99 * memory.astype(np.float64) + (1 - 0.99) * g * g).astype(np.float32)
                score = w * w * memory
        if step >= 2:
            order = np.lexsort((np.arange(score.size), -score.ravel(), ~alive.ravel()))
            alive = np.zeros(score.size, bool)
            alive[order[: score.size // 2]] = True
            alive = alive.reshape(score.shape)
            weight = np.where(alive, weight, np.float32(0))
    return alive


@pytest.mark.parametrize("criterion", KINDS, ids=str)
def test_masks_are_those_of_the_definition_on_any_memory_layout(criterion, monkeypatch):
    monkeypatch.setattr(sizes, "CHUNK", 7)
    monkeypatch.setattr(sizes, "UPDATED", 5)
    for order in "CF":
        np.testing.assert_array_equal(run(criterion, order)[0], naive(criterion), order)


def by_dict(weights, pruner, table):
    state = pruner.state_dict()
    pruner.detach()
    again = secateur.attach(weights, table)
    again.load_state_dict(state)
    return again


def by_file(tmp_path):
    def through(weights, pruner, table):
        pruner.save(tmp_path / "state.npz")
        pruner.detach()
        again = secateur.attach(weights, table)
        again.load(tmp_path / "state.npz")
        return again

    return through


@pytest.mark.filterwarnings("ignore::secateur.ScheduleWarning")
def test_a_resumed_run_has_the_masks_and_the_memory_of_the_uninterrupted_one(tmp_path):
    for criterion in ("movement", "fisher"):
        mask, state = run(criterion)
        for order, through in (("C", by_dict), ("F", by_file(tmp_path))):
            found, saved = run(criterion, order, through)
            np.testing.assert_array_equal(found, mask)
            assert list(saved) == list(state)
            for key, array in state.items():
                np.testing.assert_array_equal(saved[key], array, key)


def test_a_state_without_memory_has_no_trace_of_it():
    _, state = run("saliency")
    assert sorted(state) == ["mask/fc", "secateur", "step"]
    assert b"memory" not in state["secateur"].tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("memory/sum/fc"), "memory none, and criterion 'movement'"),
        (lambda state: state.update({"memory/sum/fc": np.zeros(3, np.float32)}), "damaged"),
        (lambda state: state.update({"memory/sum/fc": np.zeros(30, bool)}), "damaged"),
        (lambda state: state.update({"memory/sum/fc": np.zeros(30)}), r"'sum' \(float64\)"),
        (lambda state: state.update({"memory/x/fc": np.zeros(30, np.float32)}), "another version"),
        (lambda state: state.update({"memory/x/y": np.zeros(30, np.float32)}), "not a pruning"),
        (lambda state: state["memory/sum/fc"].__setitem__(2, np.nan), "NaN"),
    ],
)
def test_a_damaged_memory_is_refused_and_nothing_is_changed(change, message):
    start, gradients = inputs()
    pruner = secateur.attach({"fc": start}, policy("movement", begin=1))
    pruner.step(gradients={"fc": gradients[0]})
    before, state = pruner.state_dict(), {k: np.array(v) for k, v in pruner.state_dict().items()}
    change(state)
    with pytest.raises(StateError, match=message):
        pruner.load_state_dict(state)
    for key, array in pruner.state_dict().items():
        np.testing.assert_array_equal(array, before[key])


class Faulty(Criterion):
    """Adds up gradients, until it is told what to do instead."""

    kind = "faulty"
    elementwise = True
    needs: ClassVar = {"gradient"}
    memory: ClassVar = {"sum": "float32"}
    fault: ClassVar = None

    def update(self, state, weight, gradient, context):
        found = {"sum": state["sum"] + gradient}
        return found if Faulty.fault is None else Faulty.fault(found)

    def score(self, weight, context):
        return context.memory["sum"]


@pytest.fixture
def faulty():
    class Plugin:
        @secateur.hookimpl
        def secateur_criteria(self):
            return [Faulty]

    secateur.register(Plugin(), "faulty")
    yield Faulty
    Faulty.fault = None
    secateur.unregister("faulty")


@pytest.mark.parametrize(
    "fault",
    [
        lambda found: 1 / 0,
        lambda found: None,
        lambda found: {"total": found["sum"]},
        lambda found: {"sum": found["sum"][:1]},
        lambda found: {"sum": found["sum"] * np.nan},
        lambda found: {"sum": "text"},
        lambda found: {"sum": found["sum"] * 1j},
    ],
)
def test_after_an_error_in_update_weights_masks_and_memory_are_as_they_were(fault, faulty):
    start, gradients = inputs()
    weights = {"a": start.copy(), "b": start.copy()}
    pruner = secateur.attach(weights, policy("faulty", begin=1))
    give = dict.fromkeys(weights, gradients[0])
    pruner.step(gradients=give)
    before, values = pruner.state_dict(), {name: array.copy() for name, array in weights.items()}
    faulty.fault = fault
    with pytest.raises(PluginError, match=r"criterion 'faulty'\), step 2, weights a"):
        pruner.step(gradients=give)
    after = pruner.state_dict()
    for key in ("mask/a", "mask/b", "memory/sum/a", "memory/sum/b"):
        np.testing.assert_array_equal(after[key], before[key])
    for name, array in weights.items():
        np.testing.assert_array_equal(array, values[name])
    faulty.fault = None
    pruner.step(0, gradients=give)  # the update that failed is made up, once
    pruner.step(0)
    np.testing.assert_array_equal(pruner.state_dict()["memory/sum/a"], 2 * gradients[0].ravel())


@pytest.mark.parametrize("found", [2**31, 0.5], ids=["too large", "a fraction"])
def test_a_memory_of_integers_takes_no_other_numbers(found):
    class Counting(Faulty):
        kind = "counting"
        needs: ClassVar = set()
        memory: ClassVar = {"sum": "int32"}

        def update(self, state, weight, gradient, context):
            return {"sum": np.full(weight.shape, found)}

    method = {"criterion": Counting(), "schedule": policy("magnitude", begin=1)["schedule"]}
    pruner = secateur.attach({"fc": np.ones((2, 2))}, method)
    with pytest.raises(PluginError, match="int32"):
        pruner.step()
    assert not pruner.state_dict()["memory/sum/fc"].any()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda pruner, g: pruner.step(), ModelError, r"pass pruner.step\(gradients="),
        (lambda pruner, g: pruner.step(gradients={}), ModelError, "has none for fc.*has nothing"),
        (lambda pruner, g: pruner.step(gradients=g), ModelError, "a ndarray; wanted a mapping"),
        (lambda pruner, g: pruner.step(gradients={"fc": g.T}), ModelError, r"\(5, 6\); wanted"),
        (lambda pruner, g: pruner.step(gradients={"fc": g > 0}), ModelError, "bool"),
        (lambda pruner, g: pruner.step(2, gradients={"fc": g}), StateError, "after every update"),
    ],
)
def test_a_missing_gradient_is_said_at_the_first_step_which_is_not_counted(call, error, message):
    start, (gradient, *_) = inputs()
    pruner = secateur.attach({"fc": start}, policy("movement", begin=90))
    with pytest.raises(error, match=message):
        call(pruner, gradient)
    assert pruner.current_step == 0
    pruner.step(gradients={"fc": gradient})
    assert pruner.current_step == 1


def test_a_gradient_that_is_not_finite_is_named():
    start, (gradient, *_) = inputs()
    gradient[2, 3] = np.inf
    pruner = secateur.attach({"fc": start}, policy("saliency", begin=1))
    with pytest.raises(WeightError, match=r"fc: the gradient at \(2, 3\) is inf"):
        pruner.step(gradients={"fc": gradient})
    assert not pruner.masks
    assert start.all()


def test_a_weight_that_diverged_is_named_and_not_the_criterion():
    weights = {"fc": np.ones((2, 2))}
    pruner = secateur.attach(weights, policy("movement", begin=1))
    weights["fc"][1, 0] = np.nan
    with pytest.raises(WeightError, match=r"fc: the value at \(1, 0\) is nan"):
        pruner.step(gradients={"fc": np.ones((2, 2))})
    assert not pruner.masks


def test_a_plan_and_attach_say_at_once_what_cannot_be_had():
    start, _ = inputs()
    at_once = policy("movement", begin=0)
    with pytest.warns(secateur.PolicyWarning, match="begin_step = 1"):
        plan = secateur.plan({"fc": start}, at_once)
    assert "4 bytes a weight, 120 bytes" in str(plan)
    assert plan.to_dict()["memory"] == 120
    with pytest.raises(ModelError, match="begin_step = 1"):
        secateur.attach({"fc": start}, at_once)
    with pytest.raises(PolicyError, match=r"makes no update: use secateur.attach\(\)"):
        secateur.prune({"fc": start}, policy("saliency"))
    assert start.all()


def test_a_schedule_that_begins_at_step_0_without_pruning_is_fine():
    schedule = {"kind": "linear", "final_sparsity": 0.5, "end_step": 2, "frequency": 1}
    start, gradients = inputs()
    with warnings.catch_warnings():
        warnings.simplefilter("error", secateur.PolicyWarning)
        pruner = secateur.attach({"fc": start}, {"criterion": "saliency", "schedule": schedule})
    assert pruner.masks["fc"].all()
    for gradient in gradients[:2]:
        pruner.step(gradients={"fc": gradient})
    assert np.count_nonzero(pruner.masks["fc"]) == 15


def test_only_updates_whose_gradients_are_used_are_asked_for():
    start, gradients = inputs()
    table = policy("saliency", begin=3, frequency=2)
    pruner = secateur.attach({"fc": start}, table)
    used = []
    for step in range(6):
        used.append((pruner.uses_gradients(), pruner.uses_gradients(3)))
        pruner.step(gradients={"fc": gradients[step % 4]})
    assert used == [(s in (0, 2, 4), True) for s in range(6)]  # the first shows that there is one
    assert secateur.attach({"fc": start.copy()}, policy("movement", begin=90)).uses_gradients()
    assert not secateur.attach({"fc": start.copy()}, policy("magnitude")).uses_gradients()


def test_a_memory_is_not_updated_once_the_masks_are_final():
    start, gradients = inputs()
    pruner = secateur.attach({"fc": start}, policy("movement", begin=1, end_step=2))
    seen = []
    for gradient in gradients:
        assert pruner.uses_gradients() == (pruner.current_step < 2)
        pruner.step(gradients={"fc": gradient})
        seen.append(pruner.state_dict()["memory/sum/fc"])
    assert not np.array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[1], seen[3])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"needs": "gradient"}, r'wanted needs = \{"gradient"\}'),
        ({"needs": {"hessian"}}, r'wanted needs = \{"gradient"\}'),
    ],
)
def test_a_class_that_needs_what_is_not_known_is_refused(body, message):
    with pytest.raises(TypeError, match=message):
        type("Wrong", (Criterion,), {"kind": "wrong", "__module__": __name__, **body})


def test_memory_on_shards_is_that_of_the_whole_and_is_saved_in_canonical_order():
    rng = np.random.default_rng(0)
    spec = WeightSpec("w", "dense", "kernel", (13, 11), "float32", "w")
    weight, gradient = (rng.normal(size=spec.shape).astype(np.float32) for _ in range(2))
    whole = _movement([Whole(spec, weight)], {"w": gradient})["w"]["sum"]
    dealt = shares(rng, [Whole(spec, weight)], 4, "wildly")

    def work(workers):
        held = dealt[workers.rank]
        given = {"w": gradient.reshape(-1)[held[0].everywhere()]}
        found = _movement(held, given, workers)["w"]["sum"]
        chunk = sharded_state.pack_values(found, held[0].index, spec.size, workers)
        back = sharded_state.unpack_values(chunk, len(found), held[0].index, spec.size, workers)
        np.testing.assert_array_equal(back, found)
        return chunk

    np.testing.assert_array_equal(np.concatenate(on_workers(4, work)), whole.reshape(-1))


def _movement(weights, given, workers=None):
    criterion = Movement()
    memory = memories.blank(criterion.memory_dtypes(), weights)
    return memories.updated(criterion, weights, memory, Gradients(weights, given), 1, workers)
