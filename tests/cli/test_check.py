"""secateur check: exit codes, several policies and models, and the hook for pre-commit."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
TINY = '[schedule]\nkind = "one_shot"\nfinal_sparsity = 0.008\n'


def test_the_exit_code_is_that_of_the_worst_policy(run, half, tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    (tmp_path / "bad.toml").write_text("version = 1\nname = flase")
    assert run("check", half, "cnn-80").code == 0
    assert run("check", "tiny.toml").code == 0
    assert run("check", "tiny.toml", "--strict").code == 1
    outcome = run("check", half, "bad.toml", "--json")
    assert outcome.code == 1
    assert [each["ok"] for each in outcome.json] == [True, False]
    assert outcome.json[1]["problems"][0]["line"] == 2
    text = run("check", "bad.toml").out
    assert "bad.toml:2  problem  not well formed" in text
    assert "bad.toml: 1 problem" in text


def test_on_models_that_cannot_be_read_too(run, half, npz, safetensors, tmp_path):
    (tmp_path / "first.toml").write_text(
        half.read_text() + '[[rules]]\nmatch = { position = "first" }'
    )
    words = ["--model", npz, "--model", "gone.npz", "--model", safetensors]
    outcome = run("check", "first.toml", *words, "--json")
    assert outcome.code == 1
    found = {each["text"][:12]: each["file"] for each in outcome.json[0]["problems"]}
    assert found["no such file"] == "gone.npz"
    assert any("a file lists its weights" in each["text"] for each in outcome.json[0]["problems"])
    assert [each["name"] for each in outcome.json[0]["models"]] == [str(npz), str(safetensors)]
    assert f"{npz.name}: 272 of 544 weights stay" in run("check", half, "--model", npz.name).out


def test_settings_count(run, half):
    outcome = run("check", half, "--set", "schedule.final_sparsity=80", "--set", "rules.a.prune=1")
    assert outcome.code == 1
    assert "no rule 'a'" in outcome.out
    assert run("check", half, "--set", "schedule.final_sparsity=1").code == 1
    assert run("check", half, "--set", "schedule.final_sparsity=0.9").code == 0


def test_the_hook_for_pre_commit_runs_the_command_on_files_of_policies(run, half, tmp_path):
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    program, *words = shlex.split(hook["entry"])
    assert (hook["id"], program) == ("secateur-check", "secateur")
    assert run(*words, half).code == 0
    names = ["policy.toml", "policies/edge.yaml", "a/cnn-policy.toml", "edge.policy.json"]
    assert all(re.search(hook["files"], name) for name in names)
    assert not any(re.search(hook["files"], name) for name in ["pyproject.toml", "policing.toml"])
