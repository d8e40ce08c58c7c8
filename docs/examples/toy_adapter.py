"""A toy framework, and an adapter that teaches it to secateur.

A network is a list of layers, each a plain dict with NumPy arrays: a dense layer keeps its
kernel as ``(in, out)``, a GRU its gates side by side in the order z, r, n.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from secateur.adapter import (
    ATTACH_AGAIN,
    Adapter,
    AttachedPruner,
    Collected,
    Found,
    LayerWeight,
    PairedBinding,
    Skipped,
    Weight,
    WeightSpec,
    collect,
    layer_order,
    unknown_layer,
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


def parameters_of(layers: Sequence[dict[str, Any]]) -> list[Array]:
    arrays = [v for layer in layers for v in layer.values() if isinstance(v, np.ndarray)]
    return list({id(array): array for array in arrays}.values())


class Descent:
    """Gradient descent on the distance of the outputs from 1; calls its hooks after an update."""

    def __init__(self, net: Net, rate: float = 0.1, momentum: float = 0.0) -> None:
        self.net, self.rate, self.momentum = net, rate, momentum
        self.velocities: dict[int, Array] = {}
        self.limit = np.inf  # gradients are clipped to it
        self.gradients: dict[int, Array] = {}  # of the last update, by the id of the array
        self.hooks: list[Callable[[], object]] = []

    def update(self, x: Array) -> None:
        arrays = parameters_of(self.net.layers)
        gradients = [self._gradient(array, x).clip(-self.limit, self.limit) for array in arrays]
        self.gradients = dict(zip(map(id, arrays), gradients, strict=True))
        for array, gradient in zip(arrays, gradients, strict=True):
            velocity = self.momentum * self.velocities.get(id(array), 0) + gradient
            self.velocities[id(array)] = velocity
            array -= (self.rate * velocity).astype(array.dtype)
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


def table_entries(layer: dict[str, Any]) -> list[LayerWeight] | None:
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


def walk(net: Net) -> Iterator[Found[dict[str, Any]] | Skipped]:
    """Yield every weight under each of its names, and what is left dense."""
    for layer in net.layers:
        name, entries = layer["name"], table_entries(layer)
        for entry in entries or ():
            identity = id(layer[entry.attribute])
            yield Found(f"{name}:{entry.role}", name, entry, identity, where=layer)
        if entries is None:
            arrays = [key for key, value in layer.items() if isinstance(value, np.ndarray)]
            size = sum(layer[key].size for key in arrays)
            yield Skipped(name, unknown_layer("toy", layer["type"], arrays), size)


class ToyWeight(Weight):
    """One array of a layer, in canonical layout."""

    optimizer: Descent | None = None

    def __init__(self, collected: Collected[dict[str, Any]]) -> None:
        found = collected.found
        self.layer, self.entry = found.where, found.entry
        self.shape = self.array.shape
        self.spec = WeightSpec(
            found.name,
            found.entry.kind,
            found.entry.role,
            self.read().shape,
            self.array.dtype.name,
            found.layer,
            collected.aliases,
            alias_layers=collected.alias_layers,
        )

    @property
    def array(self) -> Array:
        """The array itself, looked up each time: it may have been replaced."""
        return self.layer[self.entry.attribute]

    def read(self) -> Array:
        if self.array.shape != self.shape:
            raise ModelError(
                f"{self.spec.name} has shape {self.array.shape}, and had {self.shape}{ATTACH_AGAIN}"
            )
        view = self.entry.layout.to_canonical(self.array.view())
        view.flags.writeable = False
        return view

    def write(self, values: Array) -> None:
        self.array[...] = self.entry.layout.from_canonical(values)

    def gradient(self) -> Array | None:
        if self.optimizer is None:
            return None
        return self.entry.layout.to_canonical(self.optimizer.gradients[id(self.array)])

    def identity(self) -> object:
        return self.array


class ToyBinding(PairedBinding[ToyWeight, Array]):
    """A network and its weights."""

    adapter = "toy"

    def __init__(self, net: Net, weights: list[ToyWeight], skipped: list[Skipped]) -> None:
        super().__init__(weights, skipped)
        self.net = net
        self.parameters = sum(array.size for array in parameters_of(net.layers))
        self.optimizer: Descent | None = None

    def native_mask(self, weight: ToyWeight, mask: Array) -> Array:
        return weight.entry.layout.from_canonical(mask)

    def zero(self, pairs: Sequence[tuple[ToyWeight, Array]]) -> Sequence[tuple[ToyWeight, Array]]:
        for weight, mask in pairs:
            if weight.array.shape == mask.shape:
                weight.array[~mask] = 0
        return pairs

    def nonzero_pruned(self) -> dict[str, int]:
        changed = self.model_changes()
        counts = {
            weight.spec.name: int(np.count_nonzero(weight.array[~mask]))
            for weight, mask in self.pairs
            if weight.spec.name not in changed
        }
        return {name: count for name, count in counts.items() if count}

    def model_changes(self) -> dict[str, str]:
        present = {id(layer) for layer in self.net.layers}
        changes = {}
        for weight in self.weights:
            name = weight.spec.name
            if id(weight.layer) not in present:
                changes[name] = f"{name} is gone from the network{ATTACH_AGAIN}"
            elif weight.array.shape != weight.shape:
                changes[name] = f"{name} has another shape than when it was bound{ATTACH_AGAIN}"
        return changes

    def clear_moments(self, revived: Mapping[str, Array]) -> None:
        for weight in self.weights:
            if self.optimizer is not None and weight.spec.name in revived:
                back = weight.entry.layout.from_canonical(revived[weight.spec.name])
                self.optimizer.velocities[id(weight.array)][back] = 0

    def watch_gradients(self, names: Collection[str]) -> bool:
        return True

    def watch_optimizer(self, pruner: AttachedPruner, optimizer: object | None) -> None:
        if isinstance(optimizer, Descent):
            self.optimizer, self.hook = optimizer, pruner.step
            optimizer.hooks.append(self.hook)
            for weight in self.weights:
                weight.optimizer = optimizer
        elif optimizer is not None:
            raise ModelError(f"optimizer={optimizer!r} is not a Descent of the toy framework")

    def release(self) -> None:
        if self.optimizer is not None:
            self.optimizer.hooks.remove(self.hook)
        self.optimizer = None
        super().release()


class ToyAdapter(Adapter):
    """Binds networks of the toy framework."""

    name = "toy"

    def matches(self, model: object) -> bool:
        return isinstance(model, Net)

    def bind(self, model: Net) -> ToyBinding:
        collected, skipped = collect(walk(model))
        binding = ToyBinding(model, [ToyWeight(each) for each in collected], skipped)
        binding.layers = layer_order(collected)
        return binding
