"""Ctrl-C at any line of attach, step, load, detach or prune leaves one state, not half of two."""

from __future__ import annotations

import threading
from functools import partial

import numpy as np
import pytest

import secateur
from secateur.policy.policy import Policy
from tests import interrupts

POLICY = Policy.parse(
    {
        "schedule": {"kind": "linear", "final_sparsity": 0.8, "end_step": 4, "frequency": 1},
        "rules": [
            {"match": {"name": "a"}},
            {"match": {}, "schedule": {"kind": "constant", "final_sparsity": 0.5, "begin_step": 2}},
        ],
    }
)


each_interrupted = partial(interrupts.each_interrupted, secateur, seen=2)


def arrays(seed=0):
    generator = np.random.default_rng(seed)
    return {"a": generator.standard_normal((6, 5)), "b": generator.standard_normal((4, 7))}


def bits(weights):
    return {name: array.tobytes() for name, array in weights.items()}


def assert_consistent(pruner, weights):
    """The masks are those of the state, the weights obey them, and the sums agree."""
    held = {weight.spec.name: mask for weight, mask in pruner._binding.binding.pairs}
    assert held.keys() == pruner.masks.keys()
    for name, mask in pruner.masks.items():
        assert (held[name] == mask).all()
        assert not weights[name][~mask].any()
    step = min(pruner.current_step, 4)
    wanted = {round(30 * (1 - 0.2 * s)) for s in (step, max(step - 1, 0))}
    if "a" in pruner.masks:
        assert np.count_nonzero(pruner.masks["a"]) in wanted


def uninterrupted(steps):
    weights = arrays()
    pruner = secateur.attach(weights, POLICY)
    for _ in range(steps):
        pruner.step()
    return weights, pruner


def test_after_an_interrupted_attach_nothing_is_claimed_and_it_can_be_tried_again():
    for (weights,) in each_interrupted(lambda: (arrays(),), lambda w: secateur.attach(w, POLICY)):
        pruner = secateur.attach(weights, POLICY)
        pruner.step(4)
        assert_consistent(pruner, weights)
        assert [w.sparsity for w in pruner.report().weights] == [0.8, 0.5]
        pruner.detach()


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_after_an_interrupted_step_there_is_one_state_and_the_run_ends_as_it_should(steps):
    wanted, _ = uninterrupted(4)
    for weights, pruner in each_interrupted(lambda: uninterrupted(steps), lambda _, p: p.step()):
        assert pruner.current_step in (steps, steps + 1)
        pruner.report()
        pruner.step(0)
        assert_consistent(pruner, weights)
        while pruner.current_step < 4:
            pruner.step()
        assert_consistent(pruner, weights)
        assert bits(weights) == bits(wanted)
        assert pruner.report().notes == ()
        pruner.detach()


@pytest.mark.parametrize("as_file", [False, True])
def test_after_an_interrupted_load_there_is_the_old_state_or_the_new_one(as_file, tmp_path):
    _, other = uninterrupted(3)
    other.save(tmp_path / "state.npz")
    state = other.state_dict()

    def load(_, pruner):
        pruner.load(tmp_path / "state.npz") if as_file else pruner.load_state_dict(state)

    for weights, pruner in each_interrupted(lambda: uninterrupted(1), load):
        assert pruner.current_step in (1, 3)
        wanted = {1: 24, 3: 12}[pruner.current_step]
        assert np.count_nonzero(pruner.masks["a"]) == wanted
        assert ("b" in pruner.masks) == (pruner.current_step == 3)
        assert_consistent(pruner, weights)
        load(weights, pruner)
        assert pruner.current_step == 3
        assert_consistent(pruner, weights)
        pruner.step()
        pruner.detach()


def test_after_an_interrupted_detach_the_pruner_is_attached_or_not_and_it_can_be_tried_again():
    for weights, pruner in each_interrupted(lambda: uninterrupted(4), lambda _, p: p.detach()):
        if pruner.attached:
            assert_consistent(pruner, weights)
        state = pruner.state_dict()
        pruner.detach()
        assert not pruner.attached
        assert not pruner._binding.binding.pairs
        assert pruner.state_dict().keys() == state.keys()
        assert secateur.prune(weights, POLICY).sparsity > 0.5  # no claim is left


def test_after_an_interrupted_prune_the_model_can_be_pruned_or_attached():
    wanted = arrays()
    secateur.prune(wanted, POLICY)
    for (weights,) in each_interrupted(lambda: (arrays(),), lambda w: secateur.prune(w, POLICY)):
        secateur.prune(weights, POLICY)
        assert bits(weights) == bits(wanted)


# between the lines of a with statement, a file is closed by the collector of garbage
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_save_leaves_the_old_file(tmp_path):
    _, pruner = uninterrupted(2)
    path = tmp_path / "state.npz"
    pruner.save(path)
    before = path.read_bytes()
    pruner.step()
    for _ in each_interrupted(lambda: (), lambda: pruner.save(path)):
        assert list(tmp_path.iterdir()) == [path]
        secateur.attach(arrays(seed=1), POLICY).load(path)
    pruner.save(path)
    assert path.read_bytes() != before


def test_no_interrupted_line_leaves_a_lock_behind():
    """A thread of its own waits for whatever the interrupted one still holds."""
    for things in each_interrupted(lambda: (arrays(),), lambda a: secateur.prune(a, POLICY)):
        thread = threading.Thread(target=secateur.prune, args=(*things, POLICY), daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
