"""One small pruned network in each framework, with a batch norm and a pruned channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

import secateur

POLICY = {"schedule": {"kind": "one_shot", "final_sparsity": 0.9}}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.head = nn.Linear(16 * 7 * 7, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.max_pool2d(torch.relu(self.norm(self.first(x))), 2)
        return self.head(torch.relu(self.second(x)).flatten(1))


def torch_net() -> tuple[Any, Any]:
    """Return a pruned module in training mode, and what it is called with."""
    torch.manual_seed(0)
    net = Net()
    with torch.no_grad():
        net.norm.running_var.uniform_(0.5, 2)
        net.norm.weight.normal_()
    secateur.prune(net, POLICY)
    return net, torch.randn(4, 1, 28, 28)


def keras_net() -> tuple[Any, Any]:
    """Return a pruned Keras model, and what it is called with: nothing, it knows its shapes."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPool2D(),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    random = np.random.default_rng(0)
    net.layers[1].set_weights([random.normal(size=8), *[random.uniform(0.5, 2, 8)] * 3])
    secateur.prune(net, POLICY)
    return net, None
