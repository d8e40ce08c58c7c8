"""The plugin as its users meet it: by name, in a policy."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import secateur

SINE = {"kind": "sine", "final_sparsity": 0.75, "end_step": 2, "frequency": 1}


def test_it_prunes_along_the_sine(caplog):
    caplog.set_level(logging.INFO, "example_sine_schedule")
    w = np.arange(1.0, 101.0).reshape(10, 10)
    pruner = secateur.attach({"fc": w}, {"schedule": SINE})
    pruner.step(), pruner.step()
    assert np.count_nonzero(w) == 25
    assert caplog.messages == [
        "step 0: 100 of 100 weights kept",
        "step 1: 47 of 100 weights kept",
        "step 2: 25 of 100 weights kept",
    ]


@pytest.mark.parametrize("power", [0.5, 1, 3])
def test_it_begins_and_ends_exactly(power):
    policy = secateur.Policy.parse({"schedule": {**SINE, "power": power}})
    assert policy.schedule.sparsity(0) == 0
    assert policy.schedule.sparsity(2) == 0.75


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"power": 0}, "schedule.power: 0: input should be greater than 0"),
        ({"power": "2"}, "schedule.power: '2': input should be a valid number"),
        ({"pwer": 2}, "schedule: unknown key 'pwer': did you mean 'power'?"),
    ],
)
def test_its_parameters_are_checked_with_their_place_in_the_policy(wrong, message):
    with pytest.raises(secateur.PolicyError, match=message.replace("?", r"\?")):
        secateur.Policy.parse({"schedule": {**SINE, **wrong}})


def test_weights_whose_gradient_keeps_its_sign_stay():
    w = np.ones((2, 4))
    schedule = {"kind": "constant", "final_sparsity": 0.5, "begin_step": 3, "end_step": 3}
    pruner = secateur.attach({"fc": w}, {"criterion": "steady_sign", "schedule": schedule})
    for sign in (1, -1, 1):
        pruner.step(gradients={"fc": np.array([[1.0] * 4, [sign] * 4])})
    assert w.tolist() == [[1] * 4, [0] * 4]
    assert pruner.state_dict()["memory/mean/fc"].shape == (8,)
