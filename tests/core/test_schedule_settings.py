"""Settings of schedules: steps that fit each other and the run, open frequencies, percentages."""

from __future__ import annotations

import numpy as np
import pytest

import secateur
from secateur.components.begin_when import BeginWhen
from secateur.components.schedules import Constant, Linear, Piecewise
from secateur.errors import PolicyError, shown


def linear(begin, end, **settings):
    return Linear(final_sparsity=0.8, begin_step=begin, end_step=end, **settings)


LINEAR = {"kind": "linear", "final_sparsity": 0.8}
SUITABLE = {
    1: 1, 5: 1, 9: 1, 10: 1, 19: 1, 20: 2, 90: 9, 120: 12, 999: 99, 1000: 100, 10**9: 100
}  # fmt: skip


@pytest.mark.parametrize("length", SUITABLE)
def test_a_frequency_that_is_left_open_suits_the_length(length):
    for schedule in (
        linear(7, 7 + length),
        Constant(final_sparsity=0.8, begin_step=7, end_step=7 + length),
        Piecewise(points=[(7, 0.1), (7 + length, 0.5)]),
    ):
        assert schedule.frequency == SUITABLE[length]
        assert schedule.update_count(10**10) >= min(length, 5) + 1
    assert linear(7, 7 + length, frequency=3).frequency == 3


def test_a_frequency_that_is_left_open_follows_the_length_of_the_run():
    schedule = Linear(final_sparsity=0.8, end_step="75%")
    assert schedule.with_total_steps(120).frequency == 9
    assert schedule.with_total_steps(10_000).frequency == 100
    written = Linear(final_sparsity=0.8, end_step="75%", frequency=100)
    assert written.with_total_steps(120).frequency == 100
    assert Constant(final_sparsity=0.8, begin_step="10%").frequency == 100


@pytest.mark.parametrize(
    "steps", [{"end_step": 5000}, {"begin_step": "10%", "end_step": 5000}, {"end_step": "75%"}]
)
def test_a_frequency_of_100_may_be_left_open_without_another_fingerprint(steps):
    table = {**LINEAR, **steps}
    opened, written = (
        secateur.Policy.parse({"schedule": schedule})
        for schedule in (table, {**table, "frequency": 100})
    )
    assert opened.fingerprint == written.fingerprint
    assert secateur.Policy.parse(opened.to_dict()) == opened


def test_a_schedule_that_waits_keeps_its_frequency():
    when = BeginWhen(monitor="loss", window=1)
    schedule = linear(0, 200, begin_when=when)
    assert (schedule.frequency, schedule.starting_at(150).frequency) == (20, 20)


WRONG_IN_ANY_RUN = {
    "end": ({"begin_step": "90%", "end_step": "10%"}, ['begin_step = "90%"', 'end_step = "10%"']),
    "end_by_a_little": ({"begin_step": "10.1%", "end_step": "10%"}, ['"10.1%"', '"10%"']),
    "points": ({"kind": "piecewise", "points": [["9%", 0.1], [5, 0.2], ["8%", 0.3]]}, ["points"]),
    "equal_points": ({"kind": "piecewise", "points": [["9%", 0.1], ["9.0%", 0.3]]}, ["points"]),
    "points_around": (
        {"kind": "piecewise", "points": [[9, 0.1], ["1%", 0.2], [8, 0.3]]}, ["points"],
    ),
    "latest": (
        {"begin_step": 50, "end_step": 90, "begin_when": {"monitor": "loss", "latest": 20}},
        ["begin_when.latest = 20", "begin_step = 50"],
    ),
    "latest_share": (
        {"begin_step": "50%", "end_step": "90%", "begin_when": {"monitor": "x", "latest": "20%"}},
        ['begin_when.latest = "20%"', 'begin_step = "50%"'],
    ),
    "latest_after_the_end": (
        {"end_step": 90, "begin_when": {"monitor": "loss", "latest": 91}},
        ["begin_when.latest = 91", "end_step = 90"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_IN_ANY_RUN)
def test_steps_in_no_order_are_refused_when_a_policy_is_read(case):
    settings, words = WRONG_IN_ANY_RUN[case]
    table = settings if "kind" in settings else {**LINEAR, **settings}
    with pytest.raises(PolicyError) as caught:
        secateur.Policy.parse({"schedule": table})
    for word in words:
        assert word in str(caught.value)


WRONG_IN_THIS_RUN = {
    "end": {"begin_step": 90, "end_step": "10%"},
    "begin": {"begin_step": "90%", "end_step": 10},
    "equal": {"begin_step": "10%", "end_step": "10.4%"},
    "equal_to_an_integer": {"begin_step": 10, "end_step": "10%"},
    "points": {"kind": "piecewise", "points": [["20%", 0.1], [5, 0.2]]},
    "equal_points": {"kind": "piecewise", "points": [["10%", 0.1], ["10.4%", 0.2]]},
    "latest": {"begin_step": 50, "end_step": 90, "begin_when": {"monitor": "x", "latest": "20%"}},
    "latest_after": {"end_step": 90, "begin_when": {"monitor": "x", "latest": "95%"}},
    "one_shot": {
        "kind": "one_shot", "final_sparsity": 0.5, "begin_step": "50%",
        "begin_when": {"monitor": "x", "latest": 20},
    },
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_IN_THIS_RUN)
def test_steps_in_no_order_in_a_run_of_some_length_are_a_policy_error(case):
    settings = WRONG_IN_THIS_RUN[case]
    table = settings if "kind" in settings else {**LINEAR, **settings}
    policy = secateur.Policy.parse({"schedule": table})
    model = {"w": np.ones((4, 4))}
    for call in (
        policy.schedule.with_total_steps,
        lambda steps: secateur.plan(model, policy, total_steps=steps),
        lambda steps: secateur.attach(model, policy, total_steps=steps),
    ):
        with pytest.raises(PolicyError) as caught:
            call(100)
        message = str(caught.value)
        assert f"{table['kind']} schedule: with total_steps=100, " in message
        for share in policy.schedule.percentages():
            assert f"{share} is step {round(float(share.split(chr(34))[1][:-1]))}" in message


def test_a_gradual_schedule_without_length_is_a_jump_where_it_is_written_so():
    for steps in ({"begin_step": 5, "end_step": 5}, {"begin_step": "5%", "end_step": "5%"}):
        jump = Linear(final_sparsity=0.8, **steps).with_total_steps(100)
        assert [jump.sparsity(step) for step in (4, 5, 6)] == [0.0, 0.8, 0.8]
        assert [step for step in range(20) if jump.updates_at(step)] == [5]


NO_LENGTH = ["100", 100.0, float("nan"), float("inf"), -5, 0, True, 2**63, [3], b"3", "\udc80", 3j]


@pytest.mark.parametrize("total", NO_LENGTH, ids=repr)
@pytest.mark.parametrize("end", [50, "50%"])
def test_a_run_has_a_positive_integer_of_steps(total, end):
    policy = {"schedule": {**LINEAR, "end_step": end}}
    for call in (secateur.plan, secateur.attach):
        with pytest.raises(PolicyError, match=r"total_steps=.* must be a positive integer"):
            call({"w": np.ones((4, 4))}, policy, total_steps=total)
    with pytest.raises(PolicyError, match="positive integer"):
        secateur.Policy.parse(policy).schedule.with_total_steps(10**5000)


@pytest.mark.parametrize("total", [np.int64(200), np.uint8(200), np.array(200), 200])
def test_the_length_of_a_run_may_be_an_integer_of_numpy(total):
    schedule = Linear(final_sparsity=0.8, end_step="50%").with_total_steps(total)
    assert schedule.end_step == 100
    assert type(schedule.end_step) is int


@pytest.mark.parametrize(
    ("given", "meant"),
    [(80, "0.8"), (80.0, "0.8"), (2, "0.02"), (99.5, "0.995"), (100, "1"), ("80%", "0.8"),
     (" 80 % ", "0.8"), ("0.8", "0.8"), ("12.5%", "0.125"), ("100%", "1"), ("0%", "0"),
     ("80", "0.8")],
)  # fmt: skip
@pytest.mark.parametrize("key", ["final_sparsity", "initial_sparsity", "points"])
def test_a_sparsity_in_percent_says_what_to_write(given, meant, key):
    table = {**LINEAR, "end_step": 10, key: given}
    if key == "points":
        table = {"kind": "piecewise", "points": [[0, given]]}
    with pytest.raises(PolicyError, match=rf"{key}.*: write {meant}$"):
        secateur.Policy.parse({"schedule": table})


NO_PERCENTAGE = [1.5, -1, 101, True, "much", "1e-9", float("inf"), 10**5000]


@pytest.mark.parametrize("given", NO_PERCENTAGE, ids=shown)
def test_what_is_no_percentage_is_not_taken_for_one(given):
    with pytest.raises(PolicyError) as caught:
        secateur.Policy.parse({"schedule": {"kind": "one_shot", "final_sparsity": given}})
    assert "%" not in str(caught.value)
