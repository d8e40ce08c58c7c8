"""Twins: a described network, made in Keras and in PyTorch, with given weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.parity import steps as s
from tests.parity.steps import Array


@dataclass(frozen=True)
class Twin:
    """A network by name.

    Attributes:
        name: Its name.
        shape: The shape of one input.
        steps: What it computes.
        tokens: The vocabulary, for inputs that are token numbers.
        registered: The names of the layers in the order in which PyTorch and Flax have them,
            which may be another than that of the steps; empty for the same order.

    """

    name: str
    shape: tuple[int, ...]
    steps: tuple[s.Step, ...]
    tokens: int = 0
    registered: tuple[str, ...] = ()

    @property
    def registered_layers(self) -> list[Any]:
        """The steps with weights, in the order in which PyTorch and Flax have them."""
        by_name = {layer.name: layer for layer in self.layers}
        return [by_name[name] for name in self.registered or by_name]

    @property
    def layers(self) -> list[Any]:
        """The steps with weights, in order."""
        return list(_layers(self.steps))

    def inputs(self, seed: int, count: int = 3) -> Array:
        """Return a batch of inputs, channels last."""
        chance = np.random.default_rng(seed)
        if self.tokens:
            return chance.integers(0, self.tokens, (count, *self.shape))
        return chance.normal(size=(count, *self.shape)).astype(np.float32)

    def weights(self, seed: int, levels: int = 0) -> dict[str, dict[str, Array]]:
        """Return canonical weights by layer and role; `levels` > 0 makes ties of them.

        With levels, every weight is a whole multiple of a step, from -levels to levels.
        """
        chance = np.random.default_rng(seed)

        def draw(shape: tuple[int, ...]) -> Array:
            if levels:
                return (chance.integers(-levels, levels + 1, shape) / 8).astype(np.float32)
            return (chance.normal(size=shape) / 4).astype(np.float32)

        return {
            layer.name: {role: draw(shape) for role, shape in layer.shapes().items()}
            for layer in self.layers
        }

    def reference(self, weights: dict[str, dict[str, Array]]) -> dict[str, tuple[Array, str]]:
        """Return the weights as a model of the NumPy reference, in the order of the plan."""
        return {
            layer.weight_name(role): (weights[layer.name][role].copy(), layer.kind)
            for layer in self.layers
            for role in layer.shapes()
        }


def _layers(steps: tuple[s.Step, ...]) -> Iterator[s.Layer]:
    for step in steps:
        if isinstance(step, s.Residual):
            yield from _layers(step.steps)
        elif isinstance(step, s.Branch):
            for path in step.paths:
                yield from _layers(path)
        elif isinstance(step, s.Layer):
            yield step


def _bias(layer: s.Layer) -> Array:
    """Return a bias that is not zero, so that equal outputs mean something."""
    outputs = getattr(layer, "outputs", 1)
    return np.linspace(-0.1, 0.1, outputs, dtype=np.float32)


def keras_twin(twin: Twin) -> Any:
    """Return the twin as a Functional Keras model."""
    import keras
    from keras import layers

    def apply(steps: tuple[s.Step, ...], x: Any) -> Any:
        for step in steps:
            match step:
                case s.Relu():
                    x = layers.ReLU()(x)
                case s.Pool():
                    x = layers.MaxPooling2D()(x)
                case s.Flatten():
                    x = layers.Flatten()(x)
                case s.Mean():
                    x = keras.ops.mean(x, axis=tuple(range(1, len(x.shape) - 1)))
                case s.Residual():
                    x = layers.Add()([x, apply(step.steps, x)])
                case s.Branch():
                    x = layers.Add()([apply(path, x) for path in step.paths])
                case s.Attention():
                    x = step.keras_layer(layers)(x, x)
                case s.Layer():
                    x = step.keras_layer(layers)(x)  # type: ignore[attr-defined]
        return x

    inputs = keras.Input(twin.shape, dtype="int32" if twin.tokens else "float32")
    return keras.Model(inputs, apply(twin.steps, inputs), name=twin.name)


def fill_keras(model: Any, twin: Twin, weights: dict[str, dict[str, Array]]) -> None:
    """Give a Keras twin canonical weights."""
    for layer in twin.layers:
        stored = layer.to_keras(weights[layer.name], _bias(layer))
        model.get_layer(layer.name).set_weights(stored)


def torch_twin(twin: Twin) -> Any:
    """Return the twin as a PyTorch module."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for layer in twin.registered_layers:
                self.add_module(layer.name, layer.torch_module(nn))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return _forward(self, twin.steps, x)

    return Network().eval()


def _forward(network: Any, steps: tuple[s.Step, ...], x: Any) -> Any:
    import torch

    def convolve(module: Any, x: Any) -> Any:
        return module(x.movedim(-1, 1)).movedim(1, -1)

    for step in steps:
        module = network.get_submodule(getattr(step, "name", ""))
        match step:
            case s.Relu():
                x = x.relu()
            case s.Pool():
                x = convolve(torch.nn.MaxPool2d(2), x)
            case s.Flatten():
                x = x.reshape(len(x), -1)
            case s.Mean():
                x = x.mean(tuple(range(1, x.ndim - 1)))
            case s.Residual():
                x = x + _forward(network, step.steps, x)
            case s.Branch():
                x = torch.stack([_forward(network, path, x) for path in step.paths]).sum(0)
            case s.Attention():
                x = module(x, x, x, need_weights=False)[0]
            case s.Recurrent():
                x = module(x)[0]
            case s.Conv() | s.ConvTranspose() | s.Depthwise():
                x = convolve(module, x)
            case _:
                x = module(x)
    return x


def fill_torch(module: Any, twin: Twin, weights: dict[str, dict[str, Array]]) -> None:
    """Give a PyTorch twin canonical weights."""
    import torch

    for layer in twin.layers:
        stored = layer.to_torch(weights[layer.name], _bias(layer))
        tensors = {name: torch.tensor(np.ascontiguousarray(v)) for name, v in stored.items()}
        module.get_submodule(layer.name).load_state_dict(tensors)


def _encoder_block(number: int, width: int) -> tuple[s.Step, ...]:
    return (
        s.Residual((s.Attention(f"attention{number}", 2, width),)),
        s.Residual(
            (
                s.Dense(f"up{number}", width, 3 * width),
                s.Relu(),
                s.Dense(f"down{number}", 3 * width, width),
            )
        ),
    )


def _res_block(number: int, width: int) -> s.Step:
    return s.Residual(
        (
            s.Conv(f"conv{number}a", width, width, (3, 3), padding="same"),
            s.Relu(),
            s.Conv(f"conv{number}b", width, width, (3, 3), padding="same"),
        )
    )


TWINS = {
    twin.name: twin
    for twin in (
        Twin("dense", (7,), (s.Dense("fc", 7, 11),)),
        Twin("conv1d", (12, 4), (s.Conv("conv", 4, 6, (3,), stride=2),)),
        Twin("conv2d", (9, 8, 3), (s.Conv("conv", 3, 5, (3, 5), padding="same"),)),
        Twin("conv3d", (5, 6, 7, 2), (s.Conv("conv", 2, 4, (2, 3, 2)),)),
        Twin("grouped", (6, 6, 6), (s.Conv("conv", 6, 4, (3, 3), groups=2),)),
        Twin("conv1d-transpose", (6, 3), (s.ConvTranspose("up", 3, 5, (4,), stride=2),)),
        Twin("conv2d-transpose", (5, 4, 3), (s.ConvTranspose("up", 3, 6, (3, 2), stride=2),)),
        Twin("conv3d-transpose", (3, 3, 3, 2), (s.ConvTranspose("up", 2, 3, (2, 2, 3)),)),
        Twin("depthwise1d", (9, 4), (s.Depthwise("dw", 4, 2, (3,)),)),
        Twin("depthwise2d", (7, 6, 3), (s.Depthwise("dw", 3, 2, (3, 2)),)),
        Twin("embedding", (6,), (s.Embedding("table", 13, 5),), tokens=13),
        Twin("simple-rnn", (5, 4), (s.Recurrent("rnn", "SimpleRNN", 4, 6),)),
        Twin("lstm", (5, 4), (s.Recurrent("rnn", "LSTM", 4, 6),)),
        Twin("gru", (5, 4), (s.Recurrent("rnn", "GRU", 4, 6),)),
        Twin("bidirectional-lstm", (5, 4), (s.Recurrent("rnn", "LSTM", 4, 3, True),)),
        Twin(
            "stacked-bidirectional-gru",
            (5, 4),
            (s.Recurrent("rnn1", "GRU", 4, 3, True), s.Recurrent("rnn2", "GRU", 6, 5, True)),
        ),
        Twin("attention", (5, 8), (s.Attention("attention", 2, 8),)),
        Twin(  # Keras lists the layers by depth: down before skip
            "branched",
            (6,),
            (
                s.Branch(((s.Dense("skip", 6, 6),), (s.Dense("down", 6, 6), s.Dense("up", 6, 6)))),
                s.Relu(),
                s.Dense("head", 6, 6),
            ),
            registered=("head", "skip", "up", "down"),
        ),
        Twin(
            "branched-cnn",
            (6, 6, 4),
            (
                s.Branch(
                    (
                        (s.Conv("right", 4, 4, (3, 3), padding="same"),),
                        (
                            s.Conv("left1", 4, 4, (3, 3), padding="same"),
                            s.Relu(),
                            s.Conv("left2", 4, 4, (3, 3), padding="same"),
                        ),
                    )
                ),
                s.Mean(),
                s.Dense("head", 4, 4),
            ),
            registered=("left2", "head", "left1", "right"),
        ),
        Twin(
            "mnist-cnn",
            (12, 12, 1),
            (
                s.Conv("conv1", 1, 8, (5, 5), padding="same"),
                s.Relu(),
                s.Pool(),
                s.Conv("conv2", 8, 16, (5, 5), padding="same"),
                s.Relu(),
                s.Pool(),
                s.Flatten(),
                s.Dense("dense1", 144, 64),
                s.Relu(),
                s.Dense("dense2", 64, 10),
            ),
        ),
        Twin(
            "resnet",
            (8, 8, 3),
            (
                s.Conv("stem", 3, 8, (3, 3), padding="same"),
                s.Relu(),
                _res_block(1, 8),
                s.Conv("down", 8, 12, (3, 3), stride=2),
                _res_block(2, 12),
                s.Mean(),
                s.Dense("head", 12, 5),
            ),
        ),
        Twin(
            "lstm-tagger",
            (7,),
            (
                s.Embedding("table", 17, 8),
                s.Recurrent("rnn", "LSTM", 8, 6, True),
                s.Dense("tags", 12, 4),
            ),
            tokens=17,
        ),
        Twin(
            "transformer",
            (6,),
            (
                s.Embedding("table", 19, 8),
                *_encoder_block(1, 8),
                *_encoder_block(2, 8),
                s.Mean(),
                s.Dense("head", 8, 3),
            ),
            tokens=19,
        ),
    )
}
