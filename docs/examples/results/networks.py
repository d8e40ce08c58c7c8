"""The networks, in Keras and in PyTorch, filled from one set of initial weights made by NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Weights = dict[str, Any]
"""Arrays by "layer:kernel", "layer:recurrent" or "layer:bias", in canonical layout."""


@dataclass(frozen=True)
class Network:
    """One architecture.

    Attributes:
        sizes: The widths of its hidden layers.
        shapes: Returns the shape of every weight and bias, from the widths.
        keras: Makes it in Keras, from its module and the widths.
        torch: Makes it in PyTorch from the widths.

    """

    sizes: tuple[int, ...]
    shapes: Callable[..., dict[str, tuple[int, ...]]]
    keras: Callable[..., Any]
    torch: Callable[..., Any]

    def weights(self, sizes: tuple[int, ...]) -> int:
        """Return how many numbers its weights have, without the biases."""
        return sum(int(np.prod(shape)) for shape in self.shapes(*sizes).values() if len(shape) > 1)

    def smaller(self, sparsity: float) -> tuple[int, ...]:
        """Return the widths, all by one factor, whose dense network has as many weights as stay."""
        goal = self.weights(self.sizes) * (1 - sparsity)
        factors = np.linspace(0.02, 1, 2000)
        found = {tuple(max(1, round(size * f)) for size in self.sizes) for f in factors}
        return min(found, key=lambda sizes: abs(self.weights(sizes) - goal))

    def initial(self, seed: int, sizes: tuple[int, ...]) -> Weights:
        """Return initial weights: uniform by Glorot; biases 0, those of forget gates 1."""
        random = np.random.default_rng(seed)
        found = {}
        for name, shape in self.shapes(*sizes).items():
            if name.endswith(":bias"):
                found[name] = np.zeros(shape, np.float32)
                if len(shape) == 2:
                    found[name][1] = 1  # the gates are i, f, g, o
                continue
            if name.endswith((":recurrent", ":kernel")) and len(shape) == 3:
                reach = np.sqrt(6 / (shape[2] + shape[1]))
            else:
                field = int(np.prod(shape[2:]))
                reach = np.sqrt(6 / ((shape[0] + shape[1]) * field))
            found[name] = random.uniform(-reach, reach, shape).astype(np.float32)
        return found


def fill_keras(model: Any, weights: Mapping[str, Any]) -> None:
    """Give a Keras network its weights."""
    for name, value in weights.items():
        layer, role = name.split(":")
        found = model.get_layer(layer)
        if hasattr(found, "cell"):
            attribute = {"kernel": "kernel", "recurrent": "recurrent_kernel", "bias": "bias"}[role]
            value = value.reshape(-1, *value.shape[2:]).T  # (in, gates * out)
            getattr(found.cell, attribute).assign(value)
        else:
            axes = (*range(2, value.ndim), 1, 0) if value.ndim > 1 else (0,)
            getattr(found, role).assign(value.transpose(axes))


def fill_torch(model: Any, weights: Mapping[str, Any]) -> None:
    """Give a PyTorch network its weights."""
    import torch

    words = {"kernel": "weight_ih_l0", "recurrent": "weight_hh_l0", "bias": "bias_ih_l0"}
    with torch.no_grad():
        for name, value in weights.items():
            layer, role = name.split(":")
            found = model.get_submodule(layer)
            if isinstance(found, torch.nn.LSTM):
                value = value.reshape(-1, *value.shape[2:])
                getattr(found, words[role]).copy_(torch.tensor(value))
            else:
                attribute = "weight" if role == "kernel" else "bias"
                getattr(found, attribute).copy_(torch.tensor(value))


def _cnn_shapes(first: int, second: int, hidden: int) -> dict[str, tuple[int, ...]]:
    return {
        "conv1:kernel": (first, 1, 5, 5),
        "conv1:bias": (first,),
        "conv2:kernel": (second, first, 5, 5),
        "conv2:bias": (second,),
        "dense1:kernel": (hidden, 49 * second),
        "dense1:bias": (hidden,),
        "dense2:kernel": (10, hidden),
        "dense2:bias": (10,),
    }


def _keras_cnn(keras: Any, first: int, second: int, hidden: int) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.ZeroPadding2D(2),  # as PyTorch pads, on all sides alike
            layers.Conv2D(first, 5, 2, activation="relu", name="conv1"),
            layers.ZeroPadding2D(2),
            layers.Conv2D(second, 5, 2, activation="relu", name="conv2"),
            layers.Flatten(),
            layers.Dense(hidden, activation="relu", name="dense1"),
            layers.Dense(10, name="dense2"),
        ]
    )


def _torch_cnn(first: int, second: int, hidden: int) -> Any:
    import torch
    from torch import nn

    class Cnn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, first, 5, 2, 2)
            self.conv2 = nn.Conv2d(first, second, 5, 2, 2)
            self.dense1 = nn.Linear(49 * second, hidden)
            self.dense2 = nn.Linear(hidden, 10)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            x = self.conv2(self.conv1(images.permute(0, 3, 1, 2)).relu()).relu()
            # flattened with the channels last, as Keras does
            return self.dense2(self.dense1(x.permute(0, 2, 3, 1).flatten(1)).relu())

    return Cnn()


def _lstm_shapes(first: int, second: int) -> dict[str, tuple[int, ...]]:
    return {
        "lstm1:kernel": (4, first, 13),
        "lstm1:recurrent": (4, first, first),
        "lstm1:bias": (4, first),
        "lstm2:kernel": (4, second, first),
        "lstm2:recurrent": (4, second, second),
        "lstm2:bias": (4, second),
        "dense:kernel": (10, second),
        "dense:bias": (10,),
    }


def _keras_lstm(keras: Any, first: int, second: int) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((None, 13)),
            layers.LSTM(first, return_sequences=True, name="lstm1"),
            layers.LSTM(second, name="lstm2"),
            layers.Dense(10, name="dense"),
        ]
    )


def _torch_lstm(first: int, second: int) -> Any:
    import torch
    from torch import nn

    class Lstm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm1 = nn.LSTM(13, first, batch_first=True)
            self.lstm2 = nn.LSTM(first, second, batch_first=True)
            self.dense = nn.Linear(second, 10)
            for lstm in (self.lstm1, self.lstm2):  # Keras has one bias, and so has this
                nn.init.zeros_(lstm.bias_hh_l0)
                lstm.bias_hh_l0.requires_grad_(False)

        def forward(self, sounds: torch.Tensor) -> torch.Tensor:
            return self.dense(self.lstm2(self.lstm1(sounds)[0])[0][:, -1])

    return Lstm()


CNN = Network((8, 16, 256), _cnn_shapes, _keras_cnn, _torch_cnn)
LSTM = Network((128, 128), _lstm_shapes, _keras_lstm, _torch_lstm)
