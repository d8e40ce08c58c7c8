"""secateur prune, inspect and plan on checkpoint files."""

from __future__ import annotations

import json
import struct
import sys
import zipfile

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import secateur
from secateur.run.saved.state import load


def loaded(path):
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return dict(arrays)
    return load_file(path)


@pytest.mark.parametrize("format_", ["npz", "safetensors"])
def test_prune_gives_the_masks_of_the_library_and_leaves_all_else_alone(
    run, half, request, format_, tensors
):
    source = request.getfixturevalue(format_)
    target = source.with_stem("pruned")
    outcome = run("prune", source, half, "-o", target, "--kind", "embed*=embedding")
    assert outcome.code == 0, outcome.err
    assert "0.5000" in outcome.out
    before, after = tensors(), loaded(target)
    wanted = {"conv": before["conv.weight"], "fc": before["fc.weight"],
              "embed": (before["embed.weight"], "embedding")}  # fmt: skip
    secateur.prune(wanted, half)
    wanted["embed"] = wanted["embed"][0]
    assert list(after) == list(loaded(source))
    for name, values in before.items():
        expected = wanted.get(name.removesuffix(".weight"), values)
        assert after[name].tobytes() == expected.tobytes()
        assert after[name].dtype == values.dtype
    for name, values in tensors().items():
        np.testing.assert_array_equal(loaded(source)[name], values)


def test_the_fingerprint_is_noted_in_the_pruned_files_and_the_masks(run, half, npz, safetensors):
    fingerprint = secateur.Policy.load(half).fingerprint
    run("prune", npz, half, "-o", "p.npz")
    with zipfile.ZipFile("p.npz") as archive:
        assert archive.comment.decode() == f"secateur_policy {fingerprint}"
    outcome = run("prune", safetensors, half, "-o", "p.safetensors", "--masks", "m.npz")
    assert outcome.code == 0
    with safe_open("p.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt", "secateur_policy": fingerprint}
    from pathlib import Path

    saved = load(Path("m.npz"))
    assert saved.fingerprint == fingerprint
    assert (saved.masks["fc:kernel"] == (load_file("p.safetensors")["fc.weight"] != 0)).all()


def test_bfloat16_is_pruned_without_a_framework(run, half, tmp_path):
    values = np.arange(-8, 8).reshape(2, 8).astype(ml_dtypes.bfloat16)
    save_file({"fc.weight": values}, tmp_path / "b.safetensors")
    assert run("prune", "b.safetensors", half, "-o", "p.safetensors").code == 0
    left = np.count_nonzero(load_file(tmp_path / "p.safetensors")["fc.weight"])
    assert left == 8


def test_a_float8_tensor_is_compared_by_its_bits(run, half, tmp_path):
    header = {"f8.weight": {"dtype": "F8_E4M3", "shape": [2, 3], "data_offsets": [0, 6]},
              "fc.weight": {"dtype": "F32", "shape": [1, 2], "data_offsets": [6, 14]}}  # fmt: skip
    text = json.dumps(header).encode()
    data = b"a\xe2cdef" + np.array([[1, 2]], np.float32).tobytes()
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    outcome = run("prune", "m.safetensors", half, "-o", "p.safetensors")
    assert outcome.code == 0, outcome.err
    assert (
        (tmp_path / "p.safetensors")
        .read_bytes()
        .endswith(b"\0\0\0def" + np.array([[0, 2]], np.float32).tobytes())
    )


def test_a_compressed_npz_stays_compressed(run, half, tmp_path):
    np.savez_compressed(tmp_path / "m.npz", fc=np.ones((64, 64)))
    assert run("prune", "m.npz", half, "-o", "p.npz").code == 0
    with zipfile.ZipFile("p.npz") as archive:
        assert archive.infolist()[0].compress_type == zipfile.ZIP_DEFLATED
    assert np.count_nonzero(np.load("p.npz")["fc"]) == 64 * 32


def test_plan_says_what_is_assumed_and_what_is_left_dense(run, half, safetensors):
    outcome = run("plan", half, safetensors)
    assert outcome.code == 0
    assert "conv:kernel" in outcome.out
    assert "2 x float32 of rank 1: not a kernel" in outcome.out
    assert "assumed: kernels as (out, in, *spatial)" in outcome.out
    assert outcome.out.endswith("\n272 of 544 weights stay\n")
    every = run("plan", half, safetensors, "--all").out
    assert "  norm.weight: float32 of rank 1: not a kernel (8 parameters)\n" in every
    table = run("plan", half, safetensors, "--json", "--kind", "embed*=skip").json
    assert [weight["name"] for weight in table["weights"]] == ["conv:kernel", "fc:kernel"]
    assert (table["size"], table["kept"], table["adapter"]) == (504, 252, "torch")


def test_a_policy_and_a_model_are_told_apart_in_either_order(run, half, npz):
    for words in (["plan"], ["explain", "fc:kernel"]):
        first, *rest = words
        outcome = run(first, half, npz, *rest)
        assert outcome.code == 0, outcome.err
        assert run(first, npz, half, *rest).out == outcome.out
    assert "gone: no model of a known kind" in run("plan", "gone", half).err


def test_a_depthwise_kernel_is_told_by_its_name_and_shape(run, half, tmp_path):
    names = ["stem", "a.conv_dw", "b.dwconv", "c.depthwise_conv2d", "d.window"]
    arrays = {f"{name}.weight": np.ones((8, 1, 3, 3)) for name in names}
    np.savez(tmp_path / "m.npz", **arrays, **{"e.conv_dw.weight": np.ones((8, 8, 1, 1))})
    kinds = [each["kind"] for each in run("plan", half, "m.npz", "--json").json["weights"]]
    assert kinds == ["conv", *["depthwise"] * 3, "conv", "conv"]


def test_a_file_that_does_not_say_what_is_trained_says_that(run, half, npz):
    half.write_text(half.read_text() + "[[rules]]\nmatch = { trainable = true }\n")
    for words in (["plan", half, npz], ["prune", npz, half, "-o", "new.npz"]):
        assert "rule 1, match.trainable: a file does not say" in run(*words).out
        notes = run(*words, "--json").json["notes"]
        assert sum("a file does not say" in note for note in notes) == 1


def test_packed_tensors_whose_parts_cannot_be_told_are_left_dense_and_said(run, half, tmp_path):
    arrays = {"lstm.weight_ih_l0": np.ones((8, 3)), "a.in_proj_weight": np.ones((6, 4)),
              "fc.weight": np.ones((2, 2))}  # fmt: skip
    np.savez(tmp_path / "m.npz", **arrays)
    table = run("plan", half, "m.npz", "--json").json
    assert [weight["name"] for weight in table["weights"]] == ["fc:kernel"]
    assert {s["name"] for s in table["skipped"]} == {"lstm.weight_ih_l0", "a.in_proj_weight"}


def test_inspect_counts_zeros(run, half, safetensors):
    run("prune", safetensors, half, "-o", "p.safetensors")
    outcome = run("inspect", "p.safetensors")
    assert outcome.code == 0
    assert outcome.out.splitlines()[-1].split() == ["all", "544", "272", "0.5000"]
    table = run("inspect", "p.safetensors", "--json").json
    assert (table["nonzero"], table["sparsity"]) == (272, 0.5)
    assert table["weights"][0]["name"] == "conv:kernel"


def test_report_shows_a_saved_state(run, tmp_path):
    policy = {"schedule": {"kind": "one_shot", "final_sparsity": 0.75}}
    pruner = secateur.attach({"fc": np.arange(16.0).reshape(4, 4)}, policy)
    pruner.save(tmp_path / "s.npz")
    outcome = run("report", "s.npz")
    assert "fc" in outcome.out
    assert "0.7500" in outcome.out
    assert secateur.Policy.parse(policy).fingerprint in outcome.out
    table = run("report", "s.npz", "--json").json
    assert (table["step"], table["sparsity"]) == (0, 0.75)


@pytest.mark.framework
def test_models_of_the_frameworks_are_planned_from_their_own_files(run, half, tmp_path):
    import torch

    net = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.BatchNorm1d(4))
    torch.save({"model": net.state_dict(), "epoch": 3}, tmp_path / "net.pt")
    import keras

    twin = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="0")])
    twin.save(tmp_path / "net.keras")
    torch_plan, keras_plan = (run("plan", half, f"net.{s}", "--json").json for s in ("pt", "keras"))
    assert torch_plan["weights"] == keras_plan["weights"]
    assert (torch_plan["adapter"], keras_plan["adapter"]) == ("torch", "keras")
    assert run("plan", half, "net.keras", "--kind", "a=conv").code == 1


OF_FRAMEWORKS = ("code_in_a_pt_file", "bad_keras_file")
REFUSED = {
    "no_policy": (["plan", "missing.toml", "model.npz"], "missing.toml: no such policy file"),
    "no_ready_policy": (["plan", "cnn-81", "model.npz"], "did you mean 'cnn-80'?"),
    "no_model": (["plan", "half.toml", "missing.npz"], "missing.npz: no such file"),
    "no_torch_model": (["plan", "half.toml", "missing.pt"], "missing.pt: no such file"),
    "no_model_format": (["plan", "half.toml", "m.txt"], "there are: .npz, .safetensors"),
    "two_policies": (["prune", "half.toml", "half.toml", "-o", "x.npz"], "two policies; one of"),
    "two_models": (["plan", "model.npz", "model.npz"], "two models; one of the two must be a"),
    "zero_bytes": (["plan", "half.toml", "zero.onnx"], "not a whole ONNX file: it is empty"),
    "no_code": (["plan", "half.toml", "os:getcwd"], "os:getcwd: no model of a known kind"),
    "no_state": (["report", "model.npz"], "not a pruning state"),
    "no_output_format": (
        ["prune", "model.npz", "half.toml", "-o", "x.safetensors"],
        "x.safetensors: wanted the format of the input, .npz",
    ),
    "no_folder": (["prune", "model.npz", "half.toml", "-o", "no/x.npz"], "No such file"),
    "no_kind": (
        ["plan", "half.toml", "model.npz", "--kind", "fc*=desne"],
        "--kind 'fc*=desne': wanted GLOB=KIND, did you mean 'dense'?",
    ),
    "kind_of_nothing": (
        ["plan", "half.toml", "model.npz", "--kind", "fcc*=dense"],
        "--kind: 'fcc*' fits none of: conv.weight",
    ),
    "kind_of_another_rank": (
        ["plan", "half.toml", "model.npz", "--kind", "fc*=rnn"],
        "kind 'rnn' has rank 3",
    ),
    "no_exporter": (
        ["export", "model.npz", "--to", "cvs", "-o", "x"],
        "no exporter 'cvs'",
    ),
    "pickle": (["plan", "half.toml", "pickle.npz"], "cannot be read: Object arrays"),
    "no_zip": (["inspect", "bad.npz"], "bad.npz: not a whole .npz file"),
    "cut_short": (["inspect", "cut.safetensors"], "is it cut short?"),
    "no_header": (["inspect", "bad.safetensors"], "bad.safetensors: not a whole safetensors"),
    "nothing_to_prune": (["plan", "half.toml", "empty.npz"], "no weight that can be pruned"),
    "code_in_a_pt_file": (["plan", "half.toml", "code.pt"], "without running code"),
    "bad_keras_file": (["plan", "half.toml", "bad.keras"], "bad.keras: not a whole .keras file"),
}  # fmt: skip


@pytest.mark.usefixtures("half", "npz")
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.framework] * (case in OF_FRAMEWORKS))
        for case in REFUSED
    ],
)
def test_what_is_refused_gets_one_clear_line_and_exit_code_1(run, safetensors, tmp_path, case):
    import pickle

    np.savez(tmp_path / "pickle.npz", **{"fc.weight": np.ones((2, 2)), "o": np.array([{}])})
    np.savez(tmp_path / "empty.npz", bias=np.ones(3))
    (tmp_path / "cut.safetensors").write_bytes(safetensors.read_bytes()[:-1])
    for name in ("bad.npz", "bad.safetensors", "bad.keras"):
        (tmp_path / name).write_bytes(b"\xff" * 40)
    (tmp_path / "zero.onnx").touch()
    (tmp_path / "code.pt").write_bytes(pickle.dumps(print))
    words, message = REFUSED[case]
    if case == "pickle":
        assert run(*words).code == 0  # an array of objects is never read, and hurts nobody
        return
    files = set(tmp_path.iterdir())
    outcome = run(*words)
    assert outcome.code == 1
    assert outcome.out == ""
    [line] = outcome.err.splitlines()
    assert line.startswith("secateur: ")
    assert message in line
    assert set(tmp_path.iterdir()) == files


def test_a_keras_file_without_keras_gets_the_command_that_installs_it_with_a_backend(
    run, half, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "keras", None)
    (tmp_path / "m.keras").touch()
    outcome = run("plan", half, "m.keras")
    assert (outcome.code, len(outcome.err.splitlines())) == (1, 1)
    assert 'pip install "secateur[tensorflow]"' in outcome.err


def test_a_nan_is_refused_and_no_file_written(run, half, tmp_path):
    np.savez(tmp_path / "m.npz", fc=np.full((2, 2), np.nan))
    outcome = run("prune", "m.npz", half, "-o", "p.npz")
    assert (outcome.code, len(outcome.err.splitlines())) == (1, 1)
    assert "fc: the value at (0, 0)" in outcome.err
    assert not (tmp_path / "p.npz").exists()


@pytest.mark.parametrize(
    "words", [[], ["plan"], ["prune", "a.npz", "b.toml"], ["no-such"], ["plan", "a", "b", "--x"],
              ["diff"], ["diff", "a.toml"], ["diff", "a", "b", "c"], ["inspect", "a", "-o", "b"]]
)  # fmt: skip
def test_wrong_usage_has_exit_code_2(run, words):
    outcome = run(*words)
    assert outcome.code == 2


def entry(**changes) -> bytes:
    fc = {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8], **changes}
    return json.dumps({"fc.weight": fc}).encode()


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{",
        b"[" * 50_000,
        b'{"fc.weight": 3}',
        b'{"__metadata__": 3}',
        entry(data_offsets=[0, 9]),
        entry(data_offsets=[-8, 0]),
        entry(data_offsets=[8, 0]),
        entry(data_offsets=[0]),
        entry(shape=[1, -2]),
        entry(shape=[1 << 40, 1 << 40]),
        entry(shape=[True, 2]),
        entry(shape="ab"),
        entry(dtype=None),
        entry(dtype=["F32"]),
    ],
)
def test_a_hostile_safetensors_header_is_refused(run, tmp_path, header):
    content = struct.pack("<Q", len(header)) + header + b"\0" * 8
    (tmp_path / "m.safetensors").write_bytes(content)
    outcome = run("inspect", "m.safetensors")
    assert outcome.code == 1
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize(("kind", "line"), [("csv", "all,,544,544,0.0000"), ("markdown", "| all")])
def test_a_table_is_exported_by_a_plugin(run, npz, tmp_path, kind, line):
    assert run("export", npz, "--to", kind, "-o", "t.txt").code == 0
    assert line in (tmp_path / "t.txt").read_text()


def test_parameters_are_counted_alike_where_they_are_left_dense(run, half, tmp_path):
    arrays = {
        "fc.weight": np.ones((4, 4), np.float32),
        "q.weight": np.ones((3, 3), np.int8),
        "bn.running_mean": np.ones(5, np.float32),
        "bn.weight": np.ones(5, np.float32),
        "ids": np.arange(100).reshape(10, 10),
    }
    np.savez(tmp_path / "m.npz", **arrays)
    assert "14 of 30 parameters are in layers left dense" in run("plan", half, "m.npz").out


def test_a_kind_that_changes_nothing_is_refused(run, half, npz):
    outcome = run("plan", half, npz, "--kind", "norm*=dense")
    assert outcome.code == 1
    said = "fits nothing that can be pruned; norm.weight is left dense: float32 of rank 1"
    assert said in outcome.err
    assert run("plan", half, npz, "--kind", "[nf]*=dense").code == 0
