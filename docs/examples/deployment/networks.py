"""The networks, each in Keras and in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import data
import mnist_networks


@dataclass(frozen=True)
class Network:
    """One architecture, in both frameworks.

    Attributes:
        title: What it is, for people.
        keras: Makes it in Keras, freshly initialised from a seed.
        torch: Makes it in PyTorch.
        shape: The shape of one input, the channels last.
        data: Loads what it is trained and tested on; None where there is nothing.
        epochs: How many epochs dense, and how many more for every variant.
        batch: How many samples an update is of.
        rate_falls: Whether the rate of the variants falls to 0 in a line.
        pruned: From which part of a run to which the masks grow.

    """

    title: str
    keras: Callable[[int], Any]
    torch: Callable[[int], Any]
    shape: tuple[int, ...]
    data: Callable[[], data.Data] | None = None
    epochs: tuple[int, int] = (0, 0)
    batch: int = 128
    rate_falls: bool = True
    pruned: tuple[str, str] = ("5%", "75%")

    def inputs(self, framework: str, samples: Any) -> Any:
        """Return samples as the network of a framework takes them."""
        if framework == "torch" and len(self.shape) == 3:
            return samples.transpose(0, 3, 1, 2).copy()
        return samples


def _keras_mlp(seed: int) -> Any:
    import keras

    keras.utils.set_random_seed(seed)
    sizes = ((512, "relu"), (256, "relu"), (10, None))
    layers = [keras.layers.Dense(size, activation) for size, activation in sizes]
    return keras.Sequential([keras.Input((784,)), *layers])


def _torch_mlp(seed: int) -> Any:
    import torch
    from torch import nn

    torch.manual_seed(seed)
    layers = [nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)]
    return nn.Sequential(*layers)


def _keras_lstm(seed: int) -> Any:
    import keras

    keras.utils.set_random_seed(seed)
    layers = [keras.layers.LSTM(128, return_sequences=True), keras.layers.LSTM(128)]
    return keras.Sequential([keras.Input((92, 13)), *layers, keras.layers.Dense(10)])


def _torch_lstm(seed: int) -> Any:
    import torch
    from torch import nn

    class Lstm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(13, 128, 2, batch_first=True)
            self.dense = nn.Linear(128, 10)

        def forward(self, sounds: torch.Tensor) -> torch.Tensor:
            return self.dense(self.lstm(sounds)[0][:, -1])

    torch.manual_seed(seed)
    return Lstm()


def _keras_mobilenet(seed: int) -> Any:
    import keras

    keras.utils.set_random_seed(seed)
    return keras.applications.MobileNetV2(weights=None, classifier_activation=None)


_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2))
_STAGES += ((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Of MobileNetV2: times wider inside, channels, blocks, stride (arXiv 1801.04381, table 2)."""


def _torch_mobilenet(seed: int) -> Any:
    import torch
    from torch import nn

    def conv(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> Any:
        convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6())

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int, wider: int) -> None:
            super().__init__()
            inside = inputs * wider
            widen = [conv(inputs, inside, 1)] if wider > 1 else []
            narrow = conv(inside, outputs, 1)[:2]  # without an activation
            self.body = nn.Sequential(*widen, conv(inside, inside, 3, stride, inside), narrow)
            self.adds = stride == 1 and inputs == outputs

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.body(x) if self.adds else self.body(x)

    torch.manual_seed(seed)
    layers = [conv(3, 32, 3, 2)]
    inputs = 32
    for wider, outputs, blocks, stride in _STAGES:
        for number in range(blocks):
            layers.append(Block(inputs, outputs, stride if number == 0 else 1, wider))
            inputs = outputs
    layers += [conv(inputs, 1280, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(1280, 1000))


NETWORKS = {
    "cnn": Network(
        "MNIST CNN, 3.27 M parameters",
        mnist_networks.keras_network,
        mnist_networks.torch_network,
        (28, 28, 1),
        data.images,
        (1, 3),
        rate_falls=False,
        pruned=("0%", "50%"),
    ),
    "mlp": Network(
        "MLP 784-512-256-10, 0.54 M", _keras_mlp, _torch_mlp, (784,), data.flat_images, (3, 6)
    ),
    "lstm": Network(
        "LSTM, two layers of 128, 0.21 M",
        _keras_lstm,
        _torch_lstm,
        (92, 13),
        data.spoken_digits,
        (6, 9),
        32,
    ),
    "mobilenet": Network(
        "MobileNetV2, 3.5 M, random weights", _keras_mobilenet, _torch_mobilenet, (224, 224, 3)
    ),
}
