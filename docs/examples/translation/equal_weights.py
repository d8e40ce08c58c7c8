"""Random weights, drawn by name: the same in PyTorch and in Keras, in processes of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np


def draw(name: str, shape: tuple[int, ...]) -> Any:
    """Return float32 numbers from -0.1 to 0.1 that depend on the name alone."""
    seed = int(hashlib.sha256(name.encode()).hexdigest()[:16], 16)
    return (np.random.default_rng(seed).random(shape, np.float32) - np.float32(0.5)) / 5


def fill_torch(model: Any) -> None:
    """Draw every parameter of a network in PyTorch."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(np.asarray(draw(name, tuple(parameter.shape)))))


def fill_keras(model: Any, value: Callable[[str, tuple[int, ...]], Any] = draw) -> None:
    """Give every weight of the translation network in Keras the value that its twin has."""
    units = model.vector.shape[0]
    for name in ("vector", "shift"):
        getattr(model, name).assign(value(name, (units,)))
    model.scale.assign(value("scale", ()))
    for layer in model.layers:
        found = layer.get_weights()
        if layer is model.source or layer is model.target:
            layer.set_weights([value(f"{layer.name}.weight", found[0].shape)])
        elif len(found) == 1:
            layer.set_weights([value(f"{layer.name}.weight", found[0].T.shape).T])
        else:
            end = "" if layer is model.first else "_l0"
            kernel, recurrent = (
                value(f"{layer.name}.weight_{part}{end}", old.T.shape).T
                for part, old in zip(("ih", "hh"), found, strict=False)
            )
            biases = (
                value(f"{layer.name}.bias_{part}{end}", (4 * units,)) for part in ("ih", "hh")
            )
            layer.set_weights([kernel, recurrent, sum(biases)])
