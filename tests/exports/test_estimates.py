"""Estimates for an Ethos-U of a live model, through the exporter."""

from __future__ import annotations

import keras

import secateur


def test_a_keras_model_is_exported_and_takes_fewer_cycles_when_it_is_pruned():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(128, "relu"), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((128,)), *layers])
    dense = secateur.estimate("ethos-u55", model)
    secateur.prune(model, {"schedule": {"kind": "one_shot", "final_sparsity": 0.9}})
    sparse = secateur.estimate("ethos-u55", model)
    assert sparse.figures["cycles"] < dense.figures["cycles"] / 2
    assert "exported to int8 on random inputs" in sparse.notes
