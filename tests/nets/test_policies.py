"""Whatever a policy holds, it is accepted or refused with a PolicyError of bounded length."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import secateur
from tests.nets.budget import NET

LONGEST_MESSAGE = 20_000
WORDS = st.sampled_from(
    [
        *("schedule", "rules", "match", "kind", "final_sparsity", "end_step", "begin_step", "name"),
        *("linear", "constant", "one_shot", "magnitude", "block", "n_m", "global", "uniform"),
        *(
            "frequency",
            "pattern",
            "criterion",
            "distribution",
            "out",
            "in",
            "keep",
            "of",
            "extends",
        ),
        *("position", "depth", "first", "dense", "role", "min_size", "points", "begin_when", "id"),
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=30)
    | WORDS
    | st.sampled_from(["10%", "100%", "-1%", "1e3%", "\0", "\ud800", "*" * 50, "[" * 50, 10**400])
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(), inner, max_size=5)
    ),
    max_leaves=25,
)
STEPS = st.integers(0, 50) | st.sampled_from(["0%", "12.5%", "50%", "100%"])
SHARES = st.sampled_from([0, 0.0, 0.1, 0.5, 0.8, 1.0, 1])
SCHEDULES = st.fixed_dictionaries(
    {"kind": st.sampled_from(["linear", "polynomial", "cosine"]), "final_sparsity": SHARES},
    optional={"begin_step": STEPS, "end_step": STEPS, "frequency": st.integers(1, 20)},
) | st.fixed_dictionaries(
    {"kind": st.sampled_from(["one_shot", "constant"]), "final_sparsity": SHARES},
    optional={"begin_step": STEPS},
)
MATCHES = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["dense", "conv", ["dense", "conv"]]),
        "name": st.sampled_from(["*", "a*", "b", ["a", "b"]]),
        "position": st.sampled_from(["first", "last"]),
        "min_size": st.integers(0, 30),
    },
)
RULES = st.fixed_dictionaries(
    {"match": MATCHES, "required": st.just(False)},
    optional={
        "prune": st.booleans(),
        "schedule": SCHEDULES,
        "distribution": st.sampled_from(["uniform", "erk", "global", "lamp"]),
        "pattern": st.sampled_from(
            ["unstructured", {"kind": "block", "out": 2}, {"kind": "channel"}]
        ),
    },
)
POLICIES = st.fixed_dictionaries(
    {"schedule": SCHEDULES}, optional={"rules": st.lists(RULES, max_size=4)}
)


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """Draw a policy in which some part was replaced by something else."""
    table = json.loads(json.dumps(draw(POLICIES)))
    here = table
    for _ in range(draw(st.integers(0, 3))):
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            break
        key = draw(st.sampled_from(keys))
        if not isinstance(here[key], (dict, list)) or draw(st.booleans()):
            here[key] = draw(JUNK)
            return table
        here = here[key]
    if isinstance(here, dict):
        here[draw(WORDS | st.text(max_size=5))] = draw(JUNK)
    return table


def parse(table: Any) -> secateur.Policy | None:
    """Return the policy, or None for one that is refused as the contract says."""
    try:
        return secateur.Policy.parse(table)
    except secateur.PolicyError as refused:
        message = str(refused)
    assert len(message) <= LONGEST_MESSAGE
    return None


@NET
@given(JUNK)
def test_junk_is_refused(table: Any) -> None:
    parse(table)


@NET
@given(damaged())
def test_a_damaged_policy_is_refused_or_means_something(table: Any) -> None:
    parse(table)


@pytest.mark.filterwarnings("ignore::UserWarning")  # such as schedules that cannot end in time
@NET
@given(POLICIES, st.integers(1, 60))
def test_a_policy_keeps_its_fingerprint_and_prunes_or_is_refused(table: Any, steps: int) -> None:
    policy = parse(table)
    if policy is None:
        return
    again = secateur.Policy.parse(policy.to_dict())
    assert again.fingerprint == policy.fingerprint
    model = {"a": np.arange(24.0).reshape(4, 6), "b": np.arange(36.0).reshape(2, 2, 3, 3)}
    try:
        pruner = secateur.attach(model, policy, total_steps=steps)
    except secateur.PolicyError:
        return
    for _ in range(min(steps, 8)):
        model["a"] += 1
        pruner.step()
    for name, mask in pruner.masks.items():
        assert not model[name][~mask].any()
    pruner.detach()
