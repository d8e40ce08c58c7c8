"""A toy framework, and an adapter that teaches it to secateur.

A network is a list of layers, each a plain dict with NumPy arrays: a dense layer keeps its
kernel as ``(in, out)``, a GRU its gates side by side in the order z, r, n.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from secateur.adapter import (
    Adapter,
    AttachedPruner,
    Binding,
    LayerWeight,
    Skipped,
    Weight,
    WeightSpec,
)
from secateur.errors import ModelError
from secateur.layout import DENSE_IN_OUT, Array, rnn_in_gates

# --- the framework ---------------------------------------------------------------------


class Net:
    """A chain of layers; the same dict may stand in it twice."""

    def __init__(self, layers: Sequence[dict[str, Any]]) -> None:
        self.layers = list(layers)

    def __call__(self, x: Array) -> Array:
        for layer in self.layers:
            x = COMPUTE[layer["type"]](x, layer)
        return x


def dense(x: Array, layer: dict[str, Any]) -> Array:
    return x @ layer["kernel"]


def gru(x: Array, layer: dict[str, Any]) -> Array:
    state = np.zeros((len(x), len(layer["recurrent"])))
    states = []
    for time in range(x.shape[1]):
        zx, rx, nx = np.split(x[:, time] @ layer["kernel"], 3, axis=1)
        zh, rh, nh = np.split(state @ layer["recurrent"], 3, axis=1)
        z, r = 1 / (1 + np.exp(-zx - zh)), 1 / (1 + np.exp(-rx - rh))
        state = z * state + (1 - z) * np.tanh(nx + r * nh)
        states.append(state)
    return np.stack(states, axis=1)


def scale(x: Array, layer: dict[str, Any]) -> Array:
    return x * layer["factors"]


COMPUTE = {"dense": dense, "gru": gru, "scale": scale}


class Descent:
    """Gradient descent on the distance of the outputs from 1; calls its hooks after an update."""

    def __init__(self, net: Net, rate: float = 0.1) -> None:
        self.net, self.rate = net, rate
        self.hooks: list[Callable[[], object]] = []

    def update(self, x: Array) -> None:
        arrays = {
            id(value): value
            for layer in self.net.layers
            for value in layer.values()
            if isinstance(value, np.ndarray)
        }
        gradients = [self._gradient(array, x) for array in arrays.values()]
        for array, gradient in zip(arrays.values(), gradients, strict=True):
            array -= (self.rate * gradient).astype(array.dtype)
        for hook in self.hooks:
            hook()

    def _gradient(self, array: Array, x: Array, tiny: float = 1e-2) -> Array:
        gradient = np.zeros(array.shape)
        for where in np.ndindex(array.shape):
            value = array[where]
            losses = []
            for nudged in (value + tiny, value - tiny):
                array[where] = nudged
                losses.append(np.square(self.net(x) - 1).mean())
            array[where] = value
            gradient[where] = (losses[0] - losses[1]) / (2 * tiny)
        return gradient


# --- the adapter -----------------------------------------------------------------------


def rows_of(layer: dict[str, Any]) -> list[LayerWeight] | None:
    """Return what is prunable in a layer; None for a type that is not known."""
    if layer["type"] == "dense":
        return [LayerWeight("kernel", "dense", layout=DENSE_IN_OUT)]
    if layer["type"] == "gru":
        z_r_n = (1, 0, 2)  # where canonical r, z, n stand
        return [
            LayerWeight(role, "rnn", role, rnn_in_gates(layer[role].shape, 3, z_r_n))
            for role in ("kernel", "recurrent")
        ]
    return None


class ToyWeight(Weight):
    """One array of a layer, seen in canonical layout."""

    def __init__(self, layer: dict[str, Any], row: LayerWeight) -> None:
        self.layer, self.row = layer, row
        name, shape = layer["name"], self.read().shape
        self.spec = WeightSpec(
            f"{name}:{row.role}", row.kind, row.role, shape, self.array.dtype.name, layer=name
        )

    @property
    def array(self) -> Array:
        """The array itself, looked up each time: it may have been replaced."""
        return self.layer[self.row.attribute]

    def read(self) -> Array:
        view = self.row.layout.to_canonical(self.array.view())
        view.flags.writeable = False
        return view

    def native(self, mask: Array) -> Array:
        """Return a canonical mask in the array's own layout."""
        return self.row.layout.from_canonical(mask)


class ToyBinding(Binding):
    """A network and its weights."""

    adapter = "toy"

    def __init__(self, weights: list[ToyWeight], skipped: list[Skipped]) -> None:
        self.weights, self.skipped = weights, skipped
        self.held: list[tuple[ToyWeight, Array]] = []
        self.optimizer: Descent | None = None

    def apply(self, masks: Mapping[str, Array]) -> None:
        self.held = [
            (weight, weight.native(masks[weight.spec.name]))
            for weight in self.weights
            if weight.spec.name in masks
        ]
        self.enforce()

    def enforce(self) -> None:
        for weight, mask in self.held:
            weight.array[~mask] = 0

    def watch_optimizer(self, pruner: AttachedPruner, optimizer: object | None) -> None:
        if isinstance(optimizer, Descent):
            self.optimizer, self.hook = optimizer, pruner.step
            optimizer.hooks.append(self.hook)
        elif optimizer is not None:
            raise ModelError(f"optimizer={optimizer!r} is not a Descent of the toy framework")

    def release(self) -> None:
        if self.optimizer is not None:
            self.optimizer.hooks.remove(self.hook)
        self.optimizer, self.held = None, []


class ToyAdapter(Adapter):
    """Binds networks of the toy framework."""

    name = "toy"

    def matches(self, model: object) -> bool:
        return isinstance(model, Net)

    def bind(self, model: Net) -> Binding:
        weights: list[ToyWeight] = []
        skipped: list[Skipped] = []
        for layer in {id(layer): layer for layer in model.layers}.values():
            rows = rows_of(layer)
            weights += [ToyWeight(layer, row) for row in rows or ()]
            if rows is None:
                reason = f"a layer of type {layer['type']!r} is not known"
                skipped.append(Skipped(layer["name"], reason))
        return ToyBinding(weights, skipped)
