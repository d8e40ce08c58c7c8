"""secateur prune on several processes writes the bytes of one, or nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.command_line import run as run

POLICIES = {
    "uniform": {},
    "global": {"distribution": "global"},
    "tiles": {"distribution": "global", "pattern": {"kind": "block", "out": 4, "in": 2}},
    "lamp": {"distribution": "lamp"},
}


@pytest.fixture
def folder(tmp_path):
    """Return a folder of three files, of several dtypes and with many ties."""
    random = np.random.default_rng(0)
    path = tmp_path / "model"
    path.mkdir()
    weight_map = {}
    for number, dtype in enumerate([np.float32, ml_dtypes.bfloat16, np.float32]):
        values = random.normal(size=(2, 24, 40 + 8 * number)).round(1)
        name = f"{number}.safetensors"
        tensors = {f"{number}.{part}.weight": values[part].astype(dtype) for part in range(2)}
        save_file(tensors, path / name, {"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
    index = json.dumps({"metadata": {}, "weight_map": weight_map})
    (path / "model.safetensors.index.json").write_text(index)
    for name, more in POLICIES.items():
        policy = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}, **more}
        (tmp_path / f"{name}.json").write_text(json.dumps(policy))
    return path


def contents(path):
    return {each.name: each.read_bytes() for each in path.iterdir()}


@pytest.mark.parametrize(
    ("count", "policy"), [(2, "uniform"), (2, "tiles"), (3, "global"), (2, "lamp")]
)
def test_the_bytes_of_some_processes_are_those_of_one(run, ranks, folder, tmp_path, count, policy):
    words = ["prune", folder, tmp_path / f"{policy}.json", "-o"]
    alone = run(*words, "one")
    assert alone.code == 0
    first, *others = ranks(count, "prune_child.py", *words, tmp_path / "many")
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    said = alone.out.replace("to one", f"to {tmp_path / 'many'}")
    assert first.output.split() == said.split()  # lines break where the path ends
    assert not any(rank.output for rank in others)


def test_one_file_is_pruned_by_one_of_them(run, ranks, folder, tmp_path):
    words = ["prune", folder / "0.safetensors", tmp_path / "global.json", "-o"]
    assert run(*words, "one.safetensors").code == 0
    ranks(2, "prune_child.py", *words, tmp_path / "many.safetensors")
    many = tmp_path / "many.safetensors"
    assert many.read_bytes() == (tmp_path / "one.safetensors").read_bytes()


@pytest.mark.parametrize("how", ["die", "nan"])
def test_a_rank_that_fails_leaves_nothing_and_stops_the_others(ranks, folder, tmp_path, how):
    words = ["prune", folder, tmp_path / "global.json", "-o", tmp_path / "many"]
    if how == "nan":
        values = np.full((24, 40), np.nan, np.float32)
        save_file({f"0.{part}.weight": values for part in range(2)}, folder / "0.safetensors")
    before = {each.name for each in tmp_path.iterdir()}
    began = time.monotonic()
    done = ranks(3, "prune_child.py", *[how] * (how == "die"), *words, check=False)
    assert time.monotonic() - began < 60
    assert all(rank.returncode for rank in done)
    for rank in done:
        assert rank.output.count("\n") == (rank.returncode > 0), rank
    assert {each.name for each in tmp_path.iterdir()} == before


def test_several_processes_without_what_reaches_the_others_are_refused(run, folder, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    outcome = run("prune", folder, "global.json", "-o", "new")
    assert outcome.code == 1
    assert "one of 2 processes" in outcome.err


@pytest.mark.slow  # torchrun itself, as on the page: it imports PyTorch three times
def test_torchrun_starts_it(run, folder, tmp_path):
    assert run("prune", folder, tmp_path / "global.json", "-o", "one").code == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m"]
    words = ["secateur", "prune", folder, tmp_path / "global.json", "-o", tmp_path / "many"]
    subprocess.run([*torchrun, *words], check=True, capture_output=True, timeout=120)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
