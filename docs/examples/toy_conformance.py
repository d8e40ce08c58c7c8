"""The toy adapter under the conformance kit: ``pytest toy_conformance.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
from toy_adapter import Descent, Net, ToyAdapter

import secateur
from secateur.testing import AdapterConformance, Layer


class TestToy(AdapterConformance):
    adapter = ToyAdapter()
    layers = ("dense", "gru")
    dtypes = ("float16", "float32", "float64")
    clips = has_momentum = True

    def make_model(self, layers):
        made = {id(layer): make_layer(layer) for layer in layers}
        return Net([made[id(layer)] for layer in layers])

    def run(self, model, inputs):
        return model(inputs)

    def attach(self, model, policy):
        self.optimizer = Descent(model, momentum=self.momentum)
        pruner = secateur.attach(model, policy, optimizer=self.optimizer)
        pruners[pruner] = self.optimizer
        return pruner

    def train_step(self, model, inputs, pruner):
        optimizer = Descent(model) if pruner is None else pruners[pruner]
        optimizer.limit = self.clip_at or np.inf
        optimizer.update(inputs)

    def save_and_load(self, model, folder):
        loaded = Net([dict(layer) for layer in model.layers])
        for layer in loaded.layers:
            arrays = {key: v for key, v in layer.items() if isinstance(v, np.ndarray)}
            np.savez(folder / f"{layer['name']}.npz", **arrays)
            with np.load(folder / f"{layer['name']}.npz") as saved:
                layer |= {key: saved[key] for key in arrays}
        return loaded

    def overwrite(self, model, layers):
        for layer in layers:
            find(model, layer.name)["kernel"][...] = layer.weights["kernel"].T

    def replace_layer(self, model, layer):
        names = [each["name"] for each in model.layers]
        model.layers[names.index(layer.name)] = make_layer(layer)

    def structure(self, model):
        return [sorted(layer) for layer in model.layers]

    def hooks(self, model):
        return hasattr(self, "optimizer") and bool(self.optimizer.hooks)


pruners: dict[secateur.Pruner, Descent] = {}


def find(model: Net, name: str) -> dict[str, Any]:
    return next(layer for layer in model.layers if layer["name"] == name)


def make_layer(layer: Layer) -> dict[str, Any]:
    if layer.type == "other":
        return {"name": layer.name, "type": "scale", "factors": np.ones(4, np.float32)}
    arrays = {}
    for role, weight in layer.weights.items():
        if layer.type == "gru":
            r, z, n = weight
            arrays[role] = np.concatenate([z.T, r.T, n.T], axis=1)
        else:
            arrays[role] = weight.T.copy()
    return {"name": layer.name, "type": layer.type} | arrays
