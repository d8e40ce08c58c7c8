"""Estimates for an Ethos-U of a live model, through the exporter."""

from __future__ import annotations

import torch  # isort: skip  before TensorFlow
import keras

import secateur

MOST = {"schedule": {"kind": "one_shot", "final_sparsity": 0.9}}


def test_a_keras_model_is_exported_and_takes_fewer_cycles_when_it_is_pruned():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(128, "relu"), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((128,)), *layers])
    dense = secateur.estimate("ethos-u55", model)
    secateur.prune(model, MOST)
    sparse = secateur.estimate("ethos-u55", model)
    assert sparse.figures["cycles"] < dense.figures["cycles"] / 2
    assert "exported to int8 on random or example inputs" in sparse.notes


def test_so_is_a_pytorch_module_and_a_program_of_it_on_the_command_line(tmp_path, run):
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(128, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
    )
    inputs = torch.randn(1, 128)
    dense = secateur.estimate("ethos-u55", module, inputs=inputs)
    secateur.prune(module, MOST)
    sparse = secateur.estimate("ethos-u55", module, inputs=inputs)
    assert sparse.figures["cycles"] < dense.figures["cycles"] / 2
    secateur.export(module, tmp_path / "module.pt2", to="torch-export", inputs=inputs)
    outcome = run("target", "ethos-u55", "module.pt2", "--estimate", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["estimate"]["figures"] == sparse.figures
    torch.save(module.state_dict(), tmp_path / "module.pt")
    refused = run("target", "ethos-u55", "module.pt", "--estimate")
    assert refused.code == 1
    assert ".pt2 program" in refused.err
