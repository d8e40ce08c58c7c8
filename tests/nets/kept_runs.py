"""Policies and states that the first release wrote, kept for later versions to read.

``python -m tests.nets.kept_runs`` writes the files of `FOLDER` with the policies that lie there.
That happens once for each format: a later version reads these files, and writes none of them.
Updates are sums of small multiples of 1/64, exact in float32, so that a run has the same bits in
every framework.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import secateur
from tests.nets.made_masks import Dice

FOLDER = Path(__file__).with_suffix("")
RECORD = FOLDER / "record.json"
POLICY = FOLDER / "policy.toml"
POLICIES = ("policy.toml", "policy.yaml", "policy.json")
SHAPES = {"hidden": (6, 8), "out": (4, 6)}
SAVED_AT, TOTAL = 7, 20
LOSSES = (1.0, 0.9, 0.5, 0.45, 0.44, 0.44, 0.44)

Arrays = Mapping[str, np.ndarray]


class Network(Protocol):
    """Two dense layers, `hidden` and `out`, in some framework; arrays are ``(out, in)``."""

    model: Any

    def read(self) -> Arrays: ...
    def write(self, arrays: Arrays) -> None: ...


class ArrayNetwork:
    """The two layers as a mapping of arrays."""

    def __init__(self) -> None:
        self.model = {f"{name}:kernel": values.copy() for name, values in made(0).items()}

    def read(self) -> Arrays:
        return {name: self.model[f"{name}:kernel"].copy() for name in SHAPES}

    def write(self, arrays: Arrays) -> None:
        for name, values in arrays.items():
            self.model[f"{name}:kernel"][...] = values


class TorchNetwork:
    """The two layers in PyTorch."""

    def __init__(self) -> None:
        import torch

        self.model = torch.nn.ModuleDict(
            {name: torch.nn.Linear(shape[1], shape[0]) for name, shape in SHAPES.items()}
        )
        self.write(made(0))

    def read(self) -> Arrays:
        return {name: self.model[name].weight.detach().numpy().copy() for name in SHAPES}

    def write(self, arrays: Arrays) -> None:
        import torch

        with torch.no_grad():
            for name, values in arrays.items():
                self.model[name].weight.copy_(torch.from_numpy(values))


class KerasNetwork:
    """The two layers in Keras."""

    def __init__(self) -> None:
        import keras

        (outputs, middle), (_, inputs) = SHAPES["out"], SHAPES["hidden"]
        self.model = keras.Sequential(
            [
                keras.Input((inputs,)),
                keras.layers.Dense(middle, name="hidden"),
                keras.layers.Dense(outputs, name="out"),
            ]
        )
        self.write(made(0))

    def read(self) -> Arrays:
        import keras

        kernels = {name: self.model.get_layer(name).kernel for name in SHAPES}
        return {name: np.array(keras.ops.convert_to_numpy(k)).T for name, k in kernels.items()}

    def write(self, arrays: Arrays) -> None:
        for name, values in arrays.items():
            self.model.get_layer(name).kernel.assign(np.ascontiguousarray(values.T))


def made(number: int) -> Arrays:
    """Return the first weights, for number 0, and the update of each step."""
    dice = Dice(1000 + number)
    return {
        name: (dice.values(shape, "smooth", "float64") * 16).round().astype(np.float32) / 64
        for name, shape in SHAPES.items()
    }


def attach(network: Network) -> secateur.Pruner:
    """Attach the policy that is kept."""
    return secateur.attach(network.model, POLICY, total_steps=TOTAL)


def train(network: Network, pruner: secateur.Pruner, until: int) -> None:
    """Train up to a step."""
    while pruner.current_step < until:
        step = pruner.current_step + 1
        updates, before = made(step), network.read()
        network.write({name: before[name] + updates[name] for name in SHAPES})
        pruner.observe(loss=LOSSES[min(step, len(LOSSES)) - 1])
        pruner.step()


def digest(network: Network, pruner: secateur.Pruner) -> str:
    """Return the digest of all weights and masks."""
    found = hashlib.sha256()
    for name, values in network.read().items():
        found.update(np.ascontiguousarray(values).tobytes())
        found.update(np.packbits(pruner.masks[f"{name}:kernel"]).tobytes())
    return found.hexdigest()


def resumed(network: Network, state: Any) -> str:
    """Return the digest of a run that goes on from a kept state to the end."""
    with np.load(FOLDER / "weights.npz") as weights:
        network.write({name: weights[name] for name in SHAPES})
    pruner = attach(network)
    if isinstance(state, Path):
        pruner.load(state)
    else:
        pruner.load_state_dict(state)
    assert pruner.current_step == SAVED_AT
    train(network, pruner, TOTAL)
    found = digest(network, pruner)
    pruner.detach()
    return found


def record() -> dict[str, Any]:
    """Return what is on record: the policies' fingerprints, and how the run ends."""
    found: dict[str, Any] = json.loads(RECORD.read_text())
    return found


def _write() -> None:
    import torch

    ends = set()
    for kind in (ArrayNetwork, TorchNetwork, KerasNetwork):
        network = kind()
        pruner = attach(network)
        train(network, pruner, SAVED_AT)
        name = kind.__name__.removesuffix("Network").lower()
        pruner.save(FOLDER / f"{name}.npz")
        if kind is ArrayNetwork:
            np.savez(FOLDER / "weights.npz", **network.read())
        if kind is TorchNetwork:
            torch.save(pruner.state_dict(), FOLDER / "torch.pt")
        if kind is KerasNetwork:
            network.model.save_weights(FOLDER / "keras.weights.h5")
        train(network, pruner, TOTAL)
        ends.add(digest(network, pruner))
        pruner.detach()
    (end,) = ends
    fingerprints = {name: secateur.Policy.load(FOLDER / name).fingerprint for name in POLICIES}
    RECORD.write_text(json.dumps({"policies": fingerprints, "end": end}, indent=2) + "\n")


if __name__ == "__main__":
    _write()
