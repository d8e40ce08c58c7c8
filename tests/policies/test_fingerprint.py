"""The fingerprint: one policy, one number, wherever and however it is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import secateur
from secateur.hooks.registry import registry
from secateur.policy import ready as policies
from secateur.policy.policy import Policy
from secateur.run.saved.state import load

TABLE = {
    "name": "edge",
    "schedule": {"kind": "polynomial", "final_sparsity": 0.8, "begin_step": "10%",
                 "end_step": 1000},
    "pattern": {"kind": "block", "out": 4},
    "rules": [
        {"id": "ends", "match": {"position": ["first", "last"]}, "prune": False},
        {"match": {"kind": ["conv", "dense"], "min_size": 64}, "distribution": "erk"},
    ],
}  # fmt: skip
FINGERPRINT = "145923c3a6e3b260db7fdac6c627c9960b2a6dffa10ecda8397389218c9e2116"


def variant(**changes) -> dict:
    return {**json.loads(json.dumps(TABLE)), **changes}


def test_the_fingerprint_is_this_number_in_every_version_from_now_on():
    assert Policy.parse(TABLE).fingerprint == FINGERPRINT


@pytest.mark.parametrize("suffix", [".toml", ".yaml", ".yml", ".json"])
def test_it_is_the_same_in_every_format(tmp_path, suffix):
    path = tmp_path / f"policy{suffix}"
    Policy.parse(TABLE).dump(path)
    assert Policy.load(path) == Policy.parse(TABLE)
    assert Policy.load(path).fingerprint == FINGERPRINT


@pytest.mark.parametrize("name", policies.names())
def test_it_survives_dump_and_load_of_every_ready_policy(tmp_path, name):
    policy = Policy.load(name)
    policy.dump(tmp_path / "p.toml")
    assert Policy.load(tmp_path / "p.toml").fingerprint == policy.fingerprint


def backwards(value):
    if isinstance(value, dict):
        return {key: backwards(item) for key, item in reversed(list(value.items()))}
    return value


SAME = {
    "keys_in_another_order": {"schedule": backwards(TABLE["schedule"])},
    "defaults_written_out": {
        "version": 1,
        "criterion": {"kind": "magnitude"},
        "distribution": {"kind": "uniform"},
        "pattern": {"kind": "block", "out": 4, "in": 1, "pooling": "avg"},
        "schedule": {**TABLE["schedule"], "power": 3.0, "frequency": 100, "initial_sparsity": 0},
    },
    "another_name": {"name": "other"},
    "no_ids": {"rules": [{**TABLE["rules"][0], "id": "x"}, TABLE["rules"][1]]},
    "another_spelling_of_a_share": {"schedule": {**TABLE["schedule"], "begin_step": "10.0%"}},
    "alternatives_in_another_order": {
        "rules": [TABLE["rules"][0], {"match": {"kind": ["dense", "conv", "conv"], "min_size": 64},
                                      "distribution": {"kind": "erk"}}]
    },
    "a_default_of_all_said_by_a_rule": {
        "pattern": "unstructured",
        "rules": [TABLE["rules"][0], {**TABLE["rules"][1], "pattern": TABLE["pattern"]}],
    },
    "a_required_plugin": {"plugins": ["builtin"]},
}  # fmt: skip


@pytest.mark.parametrize("how", SAME)
def test_it_does_not_depend_on_how_the_policy_is_written(how):
    assert Policy.parse(variant(**SAME[how])).fingerprint == FINGERPRINT


OTHER = {
    "sparsity": {"schedule": {**TABLE["schedule"], "final_sparsity": 0.81}},
    "share_of_the_run": {"schedule": {**TABLE["schedule"], "begin_step": "11%"}},
    "criterion": {"criterion": "random"},
    "seed": {"criterion": {"kind": "random", "seed": 1}},
    "order_of_rules": {"rules": TABLE["rules"][::-1]},
    "fewer_rules": {"rules": TABLE["rules"][1:]},
}


def test_it_tells_apart_what_gives_other_masks():
    prints = [Policy.parse(variant(**OTHER[how])).fingerprint for how in OTHER]
    assert len({FINGERPRINT, *prints}) == len(OTHER) + 1


@pytest.mark.sampled(3)
@pytest.mark.parametrize("seed", ["0", "1", "4711"])
@pytest.mark.slow
def test_it_does_not_depend_on_the_hash_seed_of_the_process(seed):
    code = f"import secateur; print(secateur.Policy.parse({TABLE!r}).fingerprint)"
    env = {**os.environ, "PYTHONHASHSEED": seed}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    assert out.stdout.decode().strip() == FINGERPRINT


def test_it_is_in_plan_report_event_state_and_file(tmp_path: Path):
    events = []

    class Observer:
        @secateur.hookimpl
        def secateur_masks_updated(self, event):
            events.append(event)

    policy = Policy.parse({"schedule": {"kind": "one_shot", "final_sparsity": 0.5}})
    secateur.register(Observer(), "fingerprints")
    try:
        pruner = secateur.attach({"fc": np.ones((4, 4))}, policy)
    finally:
        secateur.unregister("fingerprints")
    pruner.save(tmp_path / "state.npz")
    assert policy.fingerprint[:12] in str(pruner.plan)
    assert pruner.report().fingerprint == policy.fingerprint
    assert pruner.report().to_dict()["fingerprint"] == policy.fingerprint
    assert events[0].fingerprint == policy.fingerprint
    assert load(tmp_path / "state.npz").fingerprint == policy.fingerprint
    assert "fingerprints" not in registry().plugins
