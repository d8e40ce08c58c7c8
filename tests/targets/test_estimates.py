"""Estimates of the targets' own tools, Vela and da4ml."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import secateur

DATA = Path(__file__).parent / "data"


def test_vela_counts_fewer_cycles_and_bytes_for_zeros():
    dense = secateur.estimate("ethos-u55", DATA / "dense.tflite")
    sparse = secateur.estimate("ethos-u55", DATA / "sparse.tflite")
    assert sparse.figures["cycles"] < dense.figures["cycles"] / 2
    assert sparse.figures["bytes of compressed weights"] < 8000
    assert dense.tool == "ethos-u-vela"
    assert "the tool's own estimates: ethos-u-vela 5.2" in str(dense)
    other = secateur.estimate("ethos-u55", DATA / "sparse.tflite", configuration="ethos-u55-32")
    assert "Ethos_U55_32" in other.configuration


def test_luts_fall_with_the_weights_that_stay():
    weights = np.random.default_rng(0).normal(size=(32, 16)).astype("float32")
    dense = secateur.estimate("fpga", {"fc": weights.copy()}).figures["LUTs"]
    secateur.prune({"fc": weights}, {"schedule": {"kind": "one_shot", "final_sparsity": 0.9}})
    sparse = secateur.estimate("fpga", {"fc": weights}).figures["LUTs"]
    assert sparse < dense / 3


def test_what_cannot_be_estimated_is_said(tmp_path, monkeypatch):
    (tmp_path / "broken.tflite").write_bytes(b"TFL3" * 10)
    for target, model, words in (
        ("tensorrt", {}, "nothing estimates for tensorrt"),
        ("ethos-u55", tmp_path / "broken.tflite", "Vela refuses it"),
        ("ethos-u55", "model.keras", "no .tflite file"),
        ("fpga", {"fc": np.zeros((300, 300)) + 0.5}, "takes too long: fc"),
        ("fpga", {"e": (np.ones((3, 3)), "embedding")}, "not taken by fpga: e"),
    ):
        with pytest.raises(secateur.TargetError, match=words):
            secateur.estimate(target, model)
    with pytest.raises(secateur.TargetError, match="no configuration of ethos-u85"):
        secateur.estimate("ethos-u85", DATA / "dense.tflite", configuration="ethos-u55-128")
    with pytest.raises(secateur.TargetError, match="fpga has no configurations"):
        secateur.estimate("fpga", {"fc": np.eye(4)}, configuration="ethos-u55-128")
    monkeypatch.setattr("secateur.targets.estimate.find_spec", lambda name: None)
    with pytest.raises(secateur.TargetError, match=r'pip install "secateur\[vela\]"'):
        secateur.estimate("ethos-u55", DATA / "dense.tflite")
