"""The classic MNIST network, in Keras and in PyTorch, with equal weights.

conv 5x5x32, pool, conv 5x5x64, pool, dense 1024, dropout 0.4, dense 10: 3.27 M parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras
    import torch


def keras_network(seed: int = 0) -> keras.Model:
    """Return the network in Keras, freshly initialised."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 5, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 5, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(1024, activation="relu", name="dense1"),
            layers.Dropout(0.4),
            layers.Dense(10, name="dense2"),
        ],
        name="mnist",
    )


def torch_network(seed: int = 0) -> torch.nn.Module:
    """Return the network in PyTorch, freshly initialised as Keras does it."""
    import torch
    from torch import nn

    class Mnist(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 32, 5, padding="same")
            self.conv2 = nn.Conv2d(32, 64, 5, padding="same")
            self.dense1 = nn.Linear(7 * 7 * 64, 1024)
            self.dropout = nn.Dropout(0.4)
            self.dense2 = nn.Linear(1024, 10)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            x = nn.functional.max_pool2d(self.conv1(images).relu(), 2)
            x = nn.functional.max_pool2d(self.conv2(x).relu(), 2)
            # Keras flattens with the channels last; the same order keeps the weights equal.
            x = x.permute(0, 2, 3, 1).flatten(1)
            return self.dense2(self.dropout(self.dense1(x).relu()))

    torch.manual_seed(seed)
    network = Mnist()
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.xavier_uniform_(parameter)
    return network


def copy_weights(source: keras.Model, target: torch.nn.Module) -> None:
    """Give the PyTorch network the weights of the Keras one."""
    import torch

    state: dict[str, Any] = {}
    for variable in source.trainable_variables:
        layer, name = variable.path.split("/")[-2:]
        # a contiguous copy of its own, (out, in, *spatial)
        value = np.array(variable.numpy())
        if name == "kernel":
            value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
        state[f"{layer}.{'weight' if name == 'kernel' else name}"] = torch.tensor(value)
    target.load_state_dict(state)
