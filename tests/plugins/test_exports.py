"""Exporters of graphs, as far as they go without a converter."""

from __future__ import annotations

import numpy as np
import pytest

import secateur
from secateur.errors import ExportError
from secateur_exports import base


@pytest.mark.framework
@pytest.mark.parametrize("to", ["litert", "onnx", "openvino"])
def test_a_missing_extra_is_one_line_with_the_command(monkeypatch, tmp_path, to):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=rf'pip install "secateur\[{to}\]"$') as caught:
        secateur.export(torch.nn.Linear(4, 4), tmp_path / "m", to=to, inputs=torch.ones(1, 4))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_weights_alone_are_told_where_a_graph_comes_from(tmp_path):
    with pytest.raises(ExportError, match="holds weights and no graph; build the model in Keras"):
        secateur.export({"fc": np.eye(2)}, tmp_path / "m.onnx", to="onnx")


@pytest.mark.framework
def test_a_program_is_measured_and_packed_as_its_module_is(tmp_path):
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(100, 80), torch.nn.BatchNorm1d(80))
    secateur.prune(module, {"schedule": {"kind": "one_shot", "final_sparsity": 0.9}})
    program = torch.export.export(module.eval(), (torch.zeros(1, 100),))
    torch.export.save(program, tmp_path / "m.pt2")
    of_module, of_file = secateur.sizes(module), secateur.sizes(tmp_path / "m.pt2")
    assert [row.raw for row in of_file.weights] == [row.raw for row in of_module.weights]
    assert of_file.raw == (tmp_path / "m.pt2").stat().st_size
    secateur.pack(tmp_path / "m.pt2", tmp_path / "m.packed")
    fresh = torch.nn.Sequential(torch.nn.Linear(100, 80), torch.nn.BatchNorm1d(80))
    secateur.load_packed(tmp_path / "m.packed", fresh)
    for name, tensor in module.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], tensor)
    assert secateur.quantize_check(tmp_path / "m.pt2", fresh).ok
    with pytest.raises(secateur.ModelError, match="instead of an exported program its module"):
        secateur.load_packed(tmp_path / "m.packed", program)
