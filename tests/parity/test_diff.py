"""``secateur diff A B --map names.toml``: the mask bits that differ between two files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")  # before Keras may load TensorFlow
from typer.testing import CliRunner  # noqa: E402

import secateur  # noqa: E402
from secateur.cli.app import app  # noqa: E402
from tests.parity.twins import TWINS, fill_keras, fill_torch, keras_twin, torch_twin  # noqa: E402

POLICY = {"schedule": {"kind": "one_shot", "final_sparsity": 0.6}}


def pruned_pair(name: str, folder: Path) -> tuple[Any, Any]:
    twin = TWINS[name]
    keras_model, torch_model = keras_twin(twin), torch_twin(twin)
    weights = twin.weights(seed=9)
    fill_keras(keras_model, twin, weights)
    fill_torch(torch_model, twin, weights)
    for model in (keras_model, torch_model):
        secateur.prune(model, POLICY)
    keras_model.save(folder / "model.keras")
    torch.save(torch_model.state_dict(), folder / "model.pt")
    return keras_model, torch_model


def diff(folder: Path, *words: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, ["diff", *words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


NAMES = {
    "conv2d-transpose": "",
    "transformer": "".join(
        f'"attention{n}:{role}" = "attention{n}.in_proj_weight"\n'
        for n in (1, 2)
        for role in ("query", "key", "value")
    )
    + "".join(f'"attention{n}:output" = "attention{n}.out_proj.weight"\n' for n in (1, 2)),
    "gru": '"rnn:kernel" = "rnn.weight_ih_l0"\n"rnn:recurrent" = "rnn.weight_hh_l0"\n',
    "resnet": "",
}


@pytest.mark.parametrize("name", NAMES)
def test_no_bit_differs_between_the_files_of_pruned_twins(name: str, tmp_path: Path) -> None:
    pruned_pair(name, tmp_path)
    (tmp_path / "names.toml").write_text(NAMES[name])
    files = [str(tmp_path / file) for file in ("model.keras", "model.pt")]
    forward = diff(tmp_path, *files, "--map", str(tmp_path / "names.toml"))
    assert forward
    assert {row["differing"] for row in forward} == {0}


@pytest.mark.parametrize("name", ["transformer", "gru"])
def test_packed_weights_need_no_map(name: str, tmp_path: Path) -> None:
    pruned_pair(name, tmp_path)
    for files in (["model.keras", "model.pt"], ["model.pt", "model.keras"]):
        rows = diff(tmp_path, *(str(tmp_path / file) for file in files))
        assert rows
        assert {row["differing"] for row in rows} == {0}


def test_a_bit_that_differs_is_counted_in_both_directions(tmp_path: Path) -> None:
    _, torch_model = pruned_pair("mnist-cnn", tmp_path)
    state = torch_model.state_dict()
    first = state["dense2.weight"].view(-1)[:5]
    changed = int((first != 0).sum())
    first.zero_()
    torch.save(state, tmp_path / "model.pt")
    files = [str(tmp_path / file) for file in ("model.keras", "model.pt")]
    for order in (files, files[::-1]):
        rows = {row["name"]: row["differing"] for row in diff(tmp_path, *order)}
        assert sum(rows.values()) == changed > 0


def test_a_weight_without_a_twin_is_shown_as_such(tmp_path: Path) -> None:
    pruned_pair("resnet", tmp_path)
    torch.save({"stem.weight": torch.zeros(2, 2)}, tmp_path / "model.pt")
    rows = diff(tmp_path, str(tmp_path / "model.keras"), str(tmp_path / "model.pt"))
    assert {row["differing"] for row in rows} == {None}
