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
