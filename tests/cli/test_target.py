"""``secateur target`` on files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parents[1] / "targets" / "data"


@pytest.fixture
def _file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    np.savez(
        "model.npz",
        **{
            "conv.weight": random.normal(size=(8, 4, 3, 3)).astype("float32"),
            "fc.weight": random.normal(size=(16, 64)).astype("float32"),
        },
    )


@pytest.mark.usefixtures("_file")
def test_the_policy_that_is_written_prunes_the_file_so_that_the_check_passes(run):
    before = run("target", "tensorrt", "model.npz", "--check", "-o", "p.toml")
    assert before.code == 1
    assert "not used (2 dense)" in before.out
    assert run("target", "tensorrt", "model.npz", "--policy", "p.toml", "--check").code == 0
    assert run("prune", "model.npz", "p.toml", "-o", "pruned.npz").code == 0
    after = run("target", "tensorrt", "pruned.npz", "--check", "--json")
    assert after.code == 0
    assert json.loads(after.out)["meets"] is True


@pytest.mark.usefixtures("_file")
def test_without_a_model_it_says_what_the_target_takes_and_without_a_name_what_there_is(run):
    assert "convolutions of 1x1 only" in run("target", "xnnpack-arm").out
    listed = json.loads(run("target", "--json").out)
    assert {"name": "xnnpack-x86", "title": "XNNPACK on x86 (LiteRT)", "gains": ["size"]} in listed
    assert json.loads(run("target", "fpga", "--json").out)["uses"][0]["suggests"] == 0.9


@pytest.mark.usefixtures("_file")
@pytest.mark.slow
def test_estimates_are_shown_with_the_tool_and_its_version(run):
    pytest.importorskip("ethosu")
    model = DATA / "sparse.tflite"
    outcome = run("target", "ethos-u85", model)
    assert "these are the tool's own estimates: ethos-u-vela 5.2" in outcome.out
    assert json.loads(run("target", "ethos-u85", model, "--json").out)["figures"]["cycles"] > 0
    assert run("target", "ethos-u85", model, "--check").code == 2
    luts = json.loads(run("target", "fpga", "model.npz", "--estimate", "--json").out)
    assert luts["estimate"]["figures"]["fc:kernel"] > 0
    assert luts["weights"][0]["status"] == "dense"


@pytest.mark.usefixtures("_file")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ethos-u85x", "model.npz"], 1, "did you mean 'ethos-u85'?"),
        (["fpga", "missing.npz"], 1, "missing.npz"),
        (["fpga", "--check"], 2, "needs a MODEL"),
        (["fpga", "model.npz", "-o", "policy.txt"], 2, ".toml"),
        (["fpga", "model.npz", "--policy", "cnn-81"], 1, "did you mean 'cnn-80'?"),
        (["torch-2to4", "model.npz", "--kind", "fc*=skip", "-o", "p.toml"], 1, "was not written"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run, arguments, code, words):
    outcome = run("target", *arguments)
    assert outcome.code == code
    assert words in outcome.err
