"""secateur prune on files of any size: folders of shards, piece by piece, whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import secateur
from secateur.arrays import sizes
from secateur.checkpoints import open_checkpoint
from secateur.streaming.prune import Pruning

INDEX = "model.safetensors.index.json"
POLICIES = {
    "unstructured": {},
    "2:4": {"pattern": {"kind": "n_m", "keep": 2, "of": 4}},
    "global": {"distribution": "global"},
    "blocks": {"pattern": {"kind": "block", "out": 4, "in": 2}, "distribution": "global"},
    "lamp": {"distribution": "lamp"},
    "random": {"criterion": "random", "distribution": "global"},
}

SMALL = {"WHOLE": 256, "PIECE": 512, "CHUNK": 64, "COMPARED": 64, "SPAN": 128}
"""So small that every weight is pruned in many pieces."""


def policy(name: str) -> Path:
    path = Path(f"{name.replace(':', '')}.json")
    schedule = {"kind": "one_shot", "final_sparsity": 0.5}
    path.write_text(json.dumps({"schedule": schedule, **POLICIES[name]}))
    return path


def shards() -> dict[str, dict[str, np.ndarray]]:
    """Return the tensors of three files: ties, several dtypes, a bias, and what is no kernel."""
    random = np.random.default_rng(0)
    normal = random.normal(size=(24, 40))
    return {
        "a.safetensors": {
            "model.embed_tokens.weight": random.normal(size=(50, 24)).astype(np.float32),
            "0.fc.weight": normal.astype(ml_dtypes.bfloat16),
            "0.fc.bias": np.ones(24, np.float32),
        },
        "b.safetensors": {
            "1.fc.weight": (normal.round(1) + 0.05).astype(np.float16),
            "1.conv.weight": random.normal(size=(8, 4, 3, 3)).astype(np.float64),
            "1.empty.weight": np.zeros((0, 4), np.float32),
            "1.step": np.array(3),
        },
        "c.safetensors": {
            "2.fc.weight": normal.astype(ml_dtypes.bfloat16),
            "2.quantized.weight": np.ones((4, 4), np.int8),
        },
    }


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("model")
    path.mkdir()
    weight_map = {}
    for name, tensors in shards().items():
        save_file(tensors, path / name, {"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
    (path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (path / "config.json").write_text("{}")
    (path / "original").mkdir()
    (path / "original" / "notes.txt").write_text("notes")
    return path


@pytest.fixture
def _small_pieces(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setattr(sizes, name, value)


def tensors_of(folder: Path) -> dict[str, np.ndarray]:
    return {k: v for each in folder.glob("*.safetensors") for k, v in load_file(each).items()}


def pruned_in_memory(name: str) -> dict[str, np.ndarray]:
    """Return all tensors, pruned as a mapping of arrays."""
    tensors = {k: v for each in shards().values() for k, v in each.items()}
    names = {k: k.replace(".weight", ":kernel") for k in tensors if tensors[k].ndim > 1}
    names["model.embed_tokens.weight"] = "model.embed_tokens:embedding"
    model = {
        weight: (tensors[k], "embedding" if "embed" in k else "conv" if "conv" in k else "dense")
        for k, weight in names.items()
        if tensors[k].dtype != np.int8
    }
    secateur.prune(model, json.loads(policy(name).read_text()))
    return tensors


def left_in(folder: str | Path = ".") -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.usefixtures("_small_pieces")
def test_a_folder_of_shards_is_pruned_as_it_is_in_memory(run, folder, name):
    outcome = run("prune", policy(name), folder, "-o", "new")
    assert outcome.code == 0, outcome.err
    wanted, found = pruned_in_memory(name), tensors_of(Path("new"))
    assert {k: v.tobytes() for k, v in found.items()} == {k: v.tobytes() for k, v in wanted.items()}
    for each in folder.glob("*.safetensors"):
        assert list(load_file(Path("new") / each.name)) == list(load_file(each))
    for same in (INDEX, "config.json", "original/notes.txt"):
        assert (Path("new") / same).read_bytes() == (folder / same).read_bytes()
    report = run("prune", folder, policy(name), "-o", "again", "--json").json
    zeros = sum(int((found[n] == 0).sum()) for n in found if found[n].ndim > 1)
    assert report["zeros"] == zeros  # no value of these tensors was zero before
    table = run("plan", policy(name), "new", "--json").json
    assert any("quantized" in each["reason"] for each in table["skipped"])


@pytest.mark.usefixtures("_small_pieces")
def test_in_place_replaces_a_folder_in_one_step_and_only_when_asked(run, folder):
    half = policy("unstructured")
    Path("link").symlink_to("model")
    for output in ("model", "./model", "link", "model/new"):
        before = left_in()
        assert run("prune", "model", half, "-o", output).code == 1
        assert left_in() == before
    run("prune", "model", half, "-o", "new")
    assert "not empty" in run("prune", "model", half, "-o", "new").err
    assert run("prune", "link", half, "--in-place").code == 0
    for each in Path("new").iterdir():
        assert each.is_dir() or each.read_bytes() == (folder / each.name).read_bytes()
    assert left_in() == {"model", "link", "new", half.name}


def test_the_sizes_of_a_folder_are_those_of_its_tensors(run, folder):
    found = run("sizes", folder, "--json")
    assert found.code == 0, found.err
    held = {k: v for each in shards().values() for k, v in each.items()}
    assert f"{sum(v.nbytes for v in held.values())}" in found.out


def damaged_index(folder: Path, name: str, shard: object) -> None:
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"][name] = shard
    (folder / INDEX).write_text(json.dumps(index))


def hole(folder: Path) -> None:
    header = {"x.weight": {"dtype": "F32", "shape": [1, 1], "data_offsets": [4, 8]}}
    text = json.dumps(header).encode()
    (folder / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 8)


HOSTILE = {
    "missing": lambda folder: (folder / "b.safetensors").unlink(),
    "cut": lambda folder: os.truncate(folder / "b.safetensors", 900),
    "outside": lambda folder: damaged_index(folder, "0.fc.weight", "../model/a.safetensors"),
    "number": lambda folder: damaged_index(folder, "0.fc.weight", 3),
    "elsewhere": lambda folder: damaged_index(folder, "0.fc.weight", "b.safetensors"),
    "unknown": lambda folder: damaged_index(folder, "x\n.weight", "b.safetensors"),
    "twice": lambda folder: save_file(shards()["a.safetensors"], folder / "b.safetensors"),
    "hole": hole,
    "header": lambda folder: (folder / "a.safetensors").write_bytes(b"\xff" * 8 + b"{" * 100),
    "no json": lambda folder: (folder / INDEX).write_text("[" * 100_000),
    "two indices": lambda folder: (folder / "x.safetensors.index.json").write_text("{}"),
    "fifo": lambda folder: os.mkfifo(folder / "pipe"),
    "loop": lambda folder: (folder / "again").symlink_to("."),
    "above": lambda folder: (folder / "again").symlink_to("..", target_is_directory=True),
    "dangling": lambda folder: (folder / "tokenizer.json").symlink_to("nowhere"),
    "nan": lambda folder: save_file(
        {"2.fc.weight": np.full((2, 2), np.nan), "2.quantized.weight": np.ones((4, 4), np.int8)},
        folder / "c.safetensors",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_folder_that_is_damaged_is_refused_in_one_line(run, folder, case):
    half = policy("unstructured")
    HOSTILE[case](folder)
    outcome = run("prune", folder, half, "-o", "new")
    assert (outcome.code, outcome.out, len(outcome.err.splitlines())) == (1, "", 1)
    assert len(outcome.err) < 600
    assert left_in() == {"model", half.name}


def test_a_folder_is_not_written_under_the_name_of_a_file(run, folder):
    outcome = run("prune", folder, policy("unstructured"), "-o", "new.safetensors")
    assert outcome.code == 1
    assert "a folder is written as a folder; give a name without .safetensors" in outcome.err
    assert not Path("new.safetensors").exists()


def test_other_files_with_weights_are_copied_and_said(run, folder):
    save_file(shards()["c.safetensors"], folder / "consolidated.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"x")
    outcome = run("prune", folder, policy("unstructured"), "-o", "new")
    said = "holds weights too, and stays as it is: consolidated.safetensors, pytorch_model.bin"
    assert said in " ".join(outcome.out.split())
    for name in ("consolidated.safetensors", "pytorch_model.bin"):
        assert (Path("new") / name).read_bytes() == (folder / name).read_bytes()


def test_links_of_a_folder_are_followed(run, folder):
    Path("blobs").mkdir()
    for each in list(folder.glob("*.safetensors")):
        each.rename(Path("blobs") / each.name)
        each.symlink_to(Path("..") / "blobs" / each.name)
    before = {each: each.read_bytes() for each in Path("blobs").iterdir()}
    assert run("prune", folder, policy("unstructured"), "-o", "new").code == 0
    assert not any(each.is_symlink() for each in Path("new").iterdir())
    assert before == {each: each.read_bytes() for each in Path("blobs").iterdir()}


def test_a_file_that_changes_while_it_is_read_is_refused(run, folder, monkeypatch):
    run_ = Pruning.run

    def changing(self, write):
        with (folder / "b.safetensors").open("r+b") as file:
            file.write(b"\0")
        run_(self, write)

    monkeypatch.setattr(Pruning, "run", changing)
    outcome = run("prune", folder, policy("unstructured"), "-o", "new")
    assert outcome.code == 1
    assert "changed while it was read" in outcome.err
    assert not Path("new").exists()


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_file_read_in_pieces_gives_the_same_bytes(run, tmp_path, monkeypatch, suffix):
    normal = np.random.default_rng(0).normal(size=(2, 30, 40))
    arrays = {"fc.weight": np.asfortranarray(normal[0]), "big.weight": normal[1].astype(">f4")}
    source = tmp_path / f"m{suffix}"
    if suffix == ".npz":
        np.savez(source, **arrays)
    else:
        arrays = {k: v.astype(v.dtype.newbyteorder("="), order="C") for k, v in arrays.items()}
        save_file(arrays, source)
    monkeypatch.chdir(tmp_path)
    half = policy("global")
    run("prune", source, half, "-o", f"whole{suffix}", "--masks", "masks_1.npz")
    for name, value in SMALL.items():
        monkeypatch.setattr(sizes, name, value)
    outcome = run("prune", source, half, "-o", f"pieces{suffix}", "--masks", "masks_2.npz")
    assert outcome.code == 0, outcome.err
    assert Path(f"pieces{suffix}").read_bytes() == Path(f"whole{suffix}").read_bytes()
    pieces = open_checkpoint(Path(f"pieces{suffix}"))
    with np.load("masks_1.npz") as some, np.load("masks_2.npz") as whole:
        assert {n: some[n].tobytes() for n in some} == {n: whole[n].tobytes() for n in whole}
    assert sum(np.count_nonzero(pieces.read(name)) for name in arrays) == 1200


SLOW = """
import os, signal, sys, time
from secateur.streaming import tensor
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell runs behind
def slow(*_):
    print("working", flush=True)
    time.sleep(60)
tensor.set_zeros = slow
from secateur.cli import main
main()
"""
"""The program, which meets a signal while it writes."""


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, ["-o", "new"]),
        (signal.SIGKILL, ["--in-place"]),
        (signal.SIGINT, ["-o", "new"]),
        (signal.SIGTERM, ["--in-place"]),
    ],
)
def test_a_signal_leaves_the_old_folder_and_nothing_else(folder, number, words):
    half = policy("unstructured")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    command = [sys.executable, "-c", SLOW, "prune", str(folder), str(half), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"working\n"
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert left_in() == {"model", half.name}
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_where_files_must_have_names_the_next_run_removes_what_was_left(run, folder, monkeypatch):
    half = policy("unstructured")
    named = "from secateur.files import atomic; atomic._unnamed = lambda *_: None\n"
    command = [sys.executable, "-c", named + SLOW, "prune", str(folder), str(half), "-o", "new"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"working\n"
        monkeypatch.setattr("secateur.files.atomic._unnamed", lambda *_: None)
        assert run("prune", folder, half, "-o", "other").code == 0
        assert len(left_in()) == 4  # what a living process writes stays
        process.kill()
    assert run("prune", folder, half, "-o", "new").code == 0
    assert left_in() == {"model", half.name, "other", "new"}


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder with room for 8 KiB, where the system lets us make one."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(path)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    yield path
    if mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.slow  # starts processes
@pytest.mark.parametrize("most", [8 << 10, 1 << 10])
def test_a_full_disk_leaves_nothing(folder, small_disk, most):
    half = policy("unstructured")
    (small_disk / "m.safetensors").write_bytes((folder / "a.safetensors").read_bytes())

    # an error of the same kind, also where no disk could be made
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))"
    program = f"{limited}; from secateur.cli import main; main()"
    for words in (
        [folder, half, "-o", small_disk / "new"],
        [small_disk / "m.safetensors", half, "--in-place"],
    ):
        command = [sys.executable, "-c", program, "prune", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "No space left" in done.stderr or "File too large" in done.stderr
        assert left_in(small_disk) == {"m.safetensors"}
    assert (small_disk / "m.safetensors").read_bytes() == (folder / "a.safetensors").read_bytes()
