"""The reference adapter, a mapping of name to array, meets the contract."""

from __future__ import annotations

import numpy as np

from secateur.numpy_adapter import NumpyAdapter
from secateur.testing import LAYERS, AdapterConformance, Layer
from secateur.testing.layers import example


class TestNumpy(AdapterConformance):
    adapter = NumpyAdapter()
    layers = LAYERS
    dtypes = ("float16", "float32", "float64")
    clips = True

    def make_model(self, layers):
        self.asked = list(layers)
        model = {}
        for layer in layers:
            if layer.type == "other":
                model[layer.name] = np.ones(4, np.float32)
            for role, weight in layer.weights.items():
                model[f"{layer.name}:{role}"] = (weight.copy(), layer.kind)
        return model

    def run(self, model, inputs):
        """A mapping computes nothing; what it would compute follows from its arrays."""
        layers = {}
        for name, (weight, _) in model.items():
            layer, _, role = name.rpartition(":")
            layers.setdefault(layer, {})[role] = weight
        for name, weights in layers.items():
            (asked,) = {id(a): a for a in self.asked if a.name == name}.values()
            inputs = asked.holding(weights).outputs(inputs)
        return inputs

    def train_step(self, model, inputs, pruner):
        gradients = {}
        for name, (weight, _) in model.items():
            gradient = (np.cos(weight) * (1 + inputs.mean())).astype(weight.dtype)
            gradients[name] = gradient.clip(-(self.clip_at or np.inf), self.clip_at or np.inf)
            weight -= (0.1 * gradients[name]).astype(weight.dtype)
        if pruner is not None:
            pruner.step(gradients=gradients)

    def save_and_load(self, model, folder):
        np.savez(folder / "model.npz", **{name: weight for name, (weight, _) in model.items()})
        with np.load(folder / "model.npz") as arrays:
            return {name: (arrays[name], kind) for name, (_, kind) in model.items()}

    def overwrite(self, model, layers):
        for layer in layers:
            model[f"{layer.name}:kernel"][0][...] = layer.weights["kernel"]

    def replace_layer(self, model, layer):
        model[f"{layer.name}:kernel"] = (layer.weights["kernel"].copy(), layer.kind)


def test_the_kit_has_an_example_of_every_kind():
    kinds = {example(layer).kind for layer in LAYERS}
    assert kinds == {
        "dense",
        "conv",
        "conv_transpose",
        "depthwise",
        "embedding",
        "rnn",
        "attention",
    }
    assert isinstance(example("gru"), Layer)
