"""Every cell of the table in docs/how-to/export.md, and that the source model stays as it was."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # before TensorFlow

import secateur
from secateur.errors import ExportError
from tests.exports.networks import keras_net, torch_net

pytestmark = pytest.mark.filterwarnings("ignore")  # of the converters, where they are imported

PAGE = Path(__file__).parents[2] / "docs/how-to/export.md"
SUFFIXES = {"litert": ".tflite", "onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}
NETWORKS = {"keras": keras_net, "torch": torch_net}


def cells() -> Iterator[Any]:
    """Yield each cell of the page's table."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if re.match(rf"\| ({'|'.join(SUFFIXES)}) \|", line)
    ]
    for to, framework, *said in rows:
        kinds = ("none", "float16", "dynamic", "int8")
        for quantize, cell in zip(kinds, said, strict=True):
            assert cell in ("yes", "no")
            name = f"{to}-{framework}-{quantize}"
            yield pytest.param(to, framework, quantize, cell == "yes", id=name)


@pytest.fixture(scope="module")
def networks() -> dict[str, tuple[Any, Any]]:
    return {name: make() for name, make in NETWORKS.items()}


def values(framework: str, net: Any) -> list[np.ndarray]:
    if framework == "keras":
        return [np.asarray(array) for array in net.get_weights()]
    return [tensor.numpy().copy() for tensor in net.state_dict().values()]


@pytest.mark.parametrize(("to", "framework", "quantize", "works"), list(cells()))
def test_the_table_of_the_page_is_true(to, framework, quantize, works, networks, tmp_path, capfd):
    net, inputs = networks[framework]
    before = values(framework, net)
    path = tmp_path / f"net{SUFFIXES[to]}"
    options = {"to": to, "quantize": quantize, "inputs": inputs}
    if not works:
        with pytest.raises(ExportError):
            secateur.export(net, path, **options)
        assert not list(tmp_path.iterdir())
        return
    exported = secateur.export(net, path, **options)
    assert len(exported.weights) == 3
    for weight in exported.weights:
        assert weight.checked
        assert weight.exported >= weight.sparsity
        assert weight.sparsity == pytest.approx(0.9, abs=0.02)
        if quantize in ("dynamic", "int8"):
            assert weight.dtypes == ("int8",)
    assert {each.name for each in tmp_path.iterdir()} == {each.name for each in exported.files}
    assert exported.bytes == sum(each.stat().st_size for each in exported.files)
    assert capfd.readouterr() == ("", "")
    for one, other in zip(before, values(framework, net), strict=True):
        np.testing.assert_array_equal(one, other)
    if framework == "torch":
        assert all(module.training for module in net.modules())
        assert all(parameter.requires_grad for parameter in net.parameters())


def test_a_program_is_exported_on_the_command_line_as_it_was_written(networks, tmp_path, run):
    net, inputs = networks["torch"]
    secateur.export(net, tmp_path / "net.pt2", to="torch-export", inputs=inputs)
    outcome = run("export", "net.pt2", "--to", "onnx", "-o", "net.onnx", "--json")
    assert outcome.code == 0, outcome.err
    assert [weight["exported"] for weight in outcome.json["weights"]] == [
        weight["sparsity"] for weight in outcome.json["weights"]
    ]
    refused = run("export", "net.pt2", "--to", "onnx", "-o", "net.onnx")
    assert refused.code == 1
    assert "overwrite" in refused.err


def test_the_commands_of_the_page_run(networks, tmp_path, run):
    net, inputs = networks["torch"]
    secateur.export(net, tmp_path / "model.pt2", to="torch-export", inputs=inputs)
    networks["keras"][0].save(tmp_path / "model.keras")
    images = np.random.default_rng(0).normal(size=(8, 28, 28, 1)).astype("float32")
    np.savez(tmp_path / "images.npz", images=images)
    commands = re.findall(r"^\$ secateur (.*)$", PAGE.read_text(), re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        outcome = run(*command.split())
        assert outcome.code == 0, outcome.err
        assert "weights keep every zero" in outcome.out


def test_a_state_dict_holds_no_graph(networks, tmp_path, run):
    torch.save(networks["torch"][0].state_dict(), tmp_path / "net.pt")
    outcome = run("export", "net.pt", "--to", "onnx", "-o", "net.onnx")
    assert outcome.code == 1
    assert "holds weights and no graph" in outcome.err
    assert "secateur.export(model" in outcome.err


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"torch.ops.aten.relu.default", b"torch.serialization.os.nice", "a node calls"),
        (b'"use_pickle": false', b'"use_pickle":  true', "pickled"),
    ],
)
def test_a_program_that_could_run_code_is_refused(networks, tmp_path, run, old, new, words):
    import zipfile

    net, inputs = networks["torch"]
    secateur.export(net, tmp_path / "net.pt2", to="torch-export", inputs=inputs)
    with (
        zipfile.ZipFile(tmp_path / "net.pt2") as good,
        zipfile.ZipFile(tmp_path / "bad.pt2", "w") as bad,
    ):
        for name in good.namelist():
            bad.writestr(name, good.read(name).replace(old, new))
    outcome = run("inspect", "bad.pt2")
    assert outcome.code == 1
    assert words in outcome.err
