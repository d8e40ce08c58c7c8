"""Schedules: each formula, the boundary steps, percentages, and the start that waits."""

from __future__ import annotations

import math
from time import perf_counter
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import secateur
from secateur.components.begin_when import BeginWhen
from secateur.components.schedule import Schedule
from secateur.components.schedules import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    OneShot,
    Piecewise,
    Polynomial,
)
from secateur.errors import PolicyError, ScheduleWarning
from secateur.run.run_state import ScheduleState

GRADUAL = {
    Polynomial: lambda i, f, p: f + (i - f) * (1 - p) ** 3,
    Linear: lambda i, f, p: i + (f - i) * p,
    Cosine: lambda i, f, p: f + (i - f) * (1 + math.cos(math.pi * p)) / 2,
    Exponential: lambda i, f, p: 1 - (1 - i) * ((1 - f) / (1 - i)) ** p,
}
BELOW_ONE = st.floats(0, 0.999)


def gradual(kind, initial, final, begin=0, length=10, **settings):
    return kind(
        initial_sparsity=initial,
        final_sparsity=final,
        begin_step=begin,
        end_step=begin + length,
        **settings,
    )


@pytest.mark.parametrize("kind", GRADUAL)
@given(
    initial=BELOW_ONE,
    final=BELOW_ONE,
    begin=st.integers(0, 1000),
    length=st.integers(1, 1000),
    step=st.integers(0, 3000),
)
def test_a_gradual_schedule_follows_its_formula(kind, initial, final, begin, length, step):
    schedule = gradual(kind, initial, final, begin, length)
    progress = min(max((step - begin) / length, 0), 1)
    assert schedule.sparsity(step) == pytest.approx(GRADUAL[kind](initial, final, progress))
    assert schedule.sparsity(begin) == initial
    assert schedule.sparsity(begin + length) == final
    low, high = sorted((initial, final))
    assert low - 1e-12 <= schedule.sparsity(step) <= high + 1e-12


def test_polynomial_power():
    schedule = gradual(Polynomial, 0.0, 0.8, length=100, power=1)
    assert schedule.sparsity(25) == pytest.approx(0.2)


@given(
    begin=st.integers(0, 50),
    length=st.integers(0, 120),
    frequency=st.integers(1, 40),
    endless=st.booleans(),
)
def test_updates_at_is_the_stated_rule(begin, length, frequency, endless):
    end = -1 if endless else begin + length
    schedule = Constant(final_sparsity=0.5, begin_step=begin, end_step=end, frequency=frequency)
    for t in range(250):
        stated = begin <= t and (end == -1 or t <= end) and (t - begin) % frequency == 0
        assert schedule.updates_at(t) == (stated or t == end)
    due = [t for t in range(250) if schedule.updates_at(t)]
    assert schedule.last_update(249) == (due[-1] if due else None)


STEPS = st.integers(0, 60)


@st.composite
def any_schedule(draw):
    begin, length = draw(STEPS), draw(STEPS)
    frequency = draw(st.none() | st.integers(1, 20))
    end = draw(st.sampled_from([-1, begin + length]))
    points = [(step, 0.5) for step in sorted(draw(st.sets(STEPS, min_size=1, max_size=5)))]
    return draw(
        st.sampled_from(
            [
                OneShot(final_sparsity=0.5, begin_step=begin),
                Constant(final_sparsity=0.5, begin_step=begin, end_step=end, frequency=frequency),
                gradual(Linear, 0.0, 0.5, begin, length, frequency=frequency),
                Piecewise(points=points, frequency=frequency),
                Odd(final_sparsity=0.5, begin_step=begin, end_step=begin + length),
                Primes(),
            ]
        )
    )


class Odd(Linear):
    """Is periodic, and has updates of its own: the formula of its base does not hold."""

    kind = "odd"

    def updates_at(self, step):
        return step % 2 == 1


class Primes(Schedule):
    """Has no formula at all."""

    kind = "primes"
    final: ClassVar[float] = 0.5

    def sparsity(self, step):
        return 0.5

    def updates_at(self, step):
        return step > 1 and all(step % divisor for divisor in range(2, step))


@given(schedule=any_schedule(), after=st.integers(-1, 130), length=st.integers(0, 130))
def test_the_last_update_is_the_one_that_a_search_finds(schedule, after, length):
    upto = after + length
    due = [step for step in range(after + 1, upto + 1) if schedule.updates_at(step)]
    assert schedule.last_update_between(after, upto) == (due[-1] if due else None)
    count = sum(schedule.updates_at(step) for step in range(upto + 1))
    assert schedule.update_count(upto) == count
    assert schedule.update_count(upto, most=3) == min(count, 3)


@pytest.mark.parametrize(
    "schedule",
    [
        OneShot(final_sparsity=0.5, begin_step=3),
        Constant(final_sparsity=0.5, end_step=10**4),
        Constant(final_sparsity=0.5, frequency=7),
        gradual(Linear, 0.0, 0.5, 5, 10**5),
        Piecewise(points=[(0, 0.1), (10**11, 0.5)]),
        Primes(),
    ],
)
def test_no_run_is_too_long_to_ask(schedule):
    begun = perf_counter()
    if not isinstance(schedule, Primes):
        assert schedule.last_update(10**12) == schedule.last_update(10**12 + 0)
        assert schedule.update_count(10**12) > 0
    else:
        assert Never().last_update(10**12) is None
    assert perf_counter() - begun < 5


class Never(Primes):
    kind = "never"

    def updates_at(self, step):
        return False


def test_an_update_before_a_long_rest_is_found_by_a_search():
    class Early(Primes):
        kind = "early"

        def updates_at(self, step):
            return step == 70_000

    assert Early().last_update(10**9) == 70_000


def test_a_report_late_in_a_long_run_takes_no_time():
    policy = {"schedule": {"kind": "linear", "final_sparsity": 0.5, "end_step": 1000}}
    pruner = secateur.attach({"w": np.ones((4, 4))}, policy)
    begun = perf_counter()
    pruner.step(10**6)
    pruner.step(10**9)
    for _ in range(100):
        pruner.report()
    assert perf_counter() - begun < 2
    assert pruner.report().sparsity == 0.5


@pytest.mark.parametrize("step", [1.5, float("nan"), "3", None, [3], True])
@pytest.mark.parametrize("ask", ["sparsity", "updates_at"])
def test_a_step_is_an_integer(ask, step):
    for schedule in (
        OneShot(final_sparsity=0.5),
        Constant(final_sparsity=0.5),
        gradual(Cosine, 0.0, 0.5),
        Piecewise(points=[(0, 0.1), (9, 0.5)]),
    ):
        assert getattr(schedule, ask)(np.int32(3)) == getattr(schedule, ask)(3)
        with pytest.raises(PolicyError, match="a step is an integer"):
            getattr(schedule, ask)(step)


def test_constant_is_constant_and_one_shot_is_once():
    constant = Constant(final_sparsity=0.3, begin_step=5, frequency=2)
    assert {constant.sparsity(t) for t in range(20)} == {0.3}
    once = OneShot(final_sparsity=0.7, begin_step=4)
    assert [t for t in range(9) if once.updates_at(t)] == [4]


@pytest.mark.parametrize(("how", "at_15"), [("linear", 0.3), ("constant", 0.2)])
def test_piecewise_goes_through_its_points(how, at_15):
    schedule = Piecewise(points=[(10, 0.2), (20, 0.4), (21, 0.9)], frequency=7, interpolation=how)
    assert [schedule.sparsity(t) for t in (0, 10, 20, 21, 99)] == [0.2, 0.2, 0.4, 0.9, 0.9]
    assert schedule.sparsity(15) == pytest.approx(at_15)
    assert [t for t in range(40) if schedule.updates_at(t)] == [10, 17, 20, 21]


def test_percentages_become_steps_rounded_half_to_even():
    schedule = Linear(final_sparsity=0.8, begin_step="10%", end_step="62.5%", frequency=10)
    resolved = schedule.with_total_steps(1004)
    assert (resolved.begin_step, resolved.end_step) == (100, 628)  # 100.4; 627.5 goes to even
    assert schedule.percentages() == ['begin_step = "10%"', 'end_step = "62.5%"']
    with pytest.raises(PolicyError, match="total_steps"):
        schedule.with_total_steps(None)
    with pytest.raises(PolicyError, match="length of the run"):
        schedule.sparsity(3)


@pytest.mark.parametrize("share", ["101%", "-1%", "ten%", "10", "100.5%", "%", "1e1%", ""])
def test_malformed_percentages_are_refused(share):
    with pytest.raises(ValueError, match="percentage of the run"):
        Linear(final_sparsity=0.8, end_step=share)


@pytest.mark.parametrize(
    "wrong",
    [
        {"final_sparsity": 1.01},
        {"final_sparsity": -0.1},
        {"final_sparsity": float("nan")},
        {"frequency": 0},
        {"begin_step": -1},
        {"begin_step": 20},
        {"end_step": True},
    ],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)) + "|end_step"):
        Linear(**{"final_sparsity": 0.5, "end_step": 10, "frequency": 1} | wrong)


def test_exponential_refuses_a_sparsity_of_one():
    with pytest.raises(ValueError, match="below 1"):
        Exponential(final_sparsity=1.0, end_step=10)


def test_a_run_too_short_gets_a_warning_at_once():
    schedule = {"kind": "linear", "final_sparsity": 0.8, "end_step": 10, "frequency": 500}
    weight = np.ones((4, 4))
    late = {"kind": "polynomial", "final_sparsity": 0.8, "begin_step": 5, "end_step": 400}
    with pytest.warns(ScheduleWarning, match=r"run of 300 steps.*not 0\.8"):
        secateur.attach({"w": weight}, {"schedule": late}, total_steps=300)
    secateur.attach({"w": weight}, {"schedule": schedule}, total_steps=10)


class TestBeginWhen:
    """The schedule starts once a monitored value has stopped improving."""

    WHEN = BeginWhen(monitor="loss", window=3, min_delta=0.1)

    def falling(self, steps, state):
        for step in range(1, steps + 1):
            state = state.observe({"loss": max(10.0 - step, 3.0)}).at(step)
        return state

    def test_it_waits_while_the_loss_falls(self):
        state = ScheduleState(Constant(final_sparsity=0.5, begin_when=self.WHEN, frequency=5))
        assert self.falling(7, state).began is None
        assert self.falling(7, state).due(0, 7) is None

    def test_it_begins_when_two_windows_are_alike_and_stays_begun(self):
        state = ScheduleState(Constant(final_sparsity=0.5, begin_when=self.WHEN, frequency=5))
        begun = self.falling(20, state)
        assert begun.began == 12  # steps 10-12 are no better than 7-9
        again = begun.observe({"loss": 99.0}).at(21)
        assert again.began == 12
        assert [t for t in range(30) if begun.due(t - 1, t) is not None] == [12, 17, 22, 27]

    def test_values_near_the_largest_float_begin_it_as_others_do(self):
        when = {"monitor": "loss", "window": 2, "min_delta": 0.1}
        schedule = {"kind": "one_shot", "final_sparsity": 0.5, "begin_when": when}
        pruner = secateur.attach({"w": np.arange(16.0).reshape(4, 4)}, {"schedule": schedule})
        for step in range(1, 5):
            pruner.observe(loss=1e308)
            pruner.step()
            assert pruner.current_step == step
        assert pruner.report().sparsity == 0.5

    def test_a_schedule_without_a_first_step_cannot_wait(self):
        with pytest.raises(ValueError, match="has no begin_step to wait after"):
            Primes(begin_when=self.WHEN)

    def test_not_before_begin_step(self):
        schedule = Constant(final_sparsity=0.5, begin_when=self.WHEN, begin_step=15, frequency=5)
        assert self.falling(20, ScheduleState(schedule)).began == 15

    def test_no_later_than_latest(self):
        when = self.WHEN.model_copy(update={"latest": 4})
        schedule = Constant(final_sparsity=0.5, begin_when=when, frequency=5)
        assert self.falling(20, ScheduleState(schedule)).began == 4

    @pytest.mark.parametrize(
        ("mode", "values", "converged"),
        [
            ("min", [4, 3, 2, 1], False),
            ("min", [1, 1, 1, 1], True),
            ("max", [1, 2, 3, 4], False),
            ("max", [4, 4, 4, 4], True),
            ("min", [1, 1, 1], False),
            ("min", [1e308, 1e308, 1e308, 1e308], True),
            ("min", [1.7e308, 1.7e308, 1e308, 1e308], False),
            ("max", [1e308, 1e308, -1e308, -1e308], True),
            ("min", [1, 1, 1, math.nan], False),
            ("min", [math.nan, 1, 1, 1], False),
            ("min", [1, 1, math.inf, 1], False),
            ("max", [1, 1, -math.inf, math.inf], False),
            ("min", [math.nan, 1, 1, 1, 1], True),
        ],
    )
    def test_convergence(self, mode, values, converged):
        when = BeginWhen(monitor="x", window=2, min_delta=0.5, mode=mode)
        assert when.converged(values) == converged

    @pytest.mark.parametrize("stop", [3, 11, 12, 13])
    def test_a_resumed_run_starts_at_the_same_step(self, stop, tmp_path):
        policy = {
            "schedule": {
                "kind": "linear",
                "final_sparsity": 0.5,
                "end_step": 40,
                "frequency": 3,
                "begin_when": {"monitor": "loss", "window": 3, "min_delta": 0.1},
            }
        }

        def run(pruner, steps):
            sparsities = []
            for step in steps:
                pruner.observe(loss=max(10.0 - step, 3.0))
                pruner.step()
                sparsities.append(pruner.report().sparsity)
            return sparsities

        weight = np.arange(1.0, 41).reshape(5, 8)
        whole = run(secateur.attach({"w": weight.copy()}, policy), range(1, 31))
        assert whole[10] == 0 < whole[-1]
        first = secateur.attach({"w": weight}, policy)
        before = run(first, range(1, stop + 1))
        first.save(tmp_path / "state.npz")
        second = secateur.attach({"w": weight.copy()}, policy)
        second.load(tmp_path / "state.npz")
        assert before + run(second, range(stop + 1, 31)) == whole
