"""InceptionV3 with its auxiliary head, and MobileNetV1, in PyTorch.

Layers are made in the order of keras.applications, so the n-th convolution of one is the n-th of
the other, and with equal weights both compute the same.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class Branches(nn.Module):
    """Joins what its branches make of one input."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([branch(images) for branch in self.branches], 1)


class InceptionV3(nn.Module):
    """InceptionV3 (arXiv 1512.00567); the auxiliary head reads the 17x17 images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *(conv(3, 32, 3, 2, "valid"), conv(32, 32, 3, 1, "valid"), conv(32, 64, 3)),
            *(nn.MaxPool2d(3, 2), conv(64, 80, 1), conv(80, 192, 3, 1, "valid")),
            nn.MaxPool2d(3, 2),
        )
        self.large = nn.Sequential(
            *(_large(inputs, outputs) for inputs, outputs in ((192, 32), (256, 64), (288, 64))),
            Branches(
                conv(288, 384, 3, 2, "valid"),
                nn.Sequential(conv(288, 64), conv(64, 96, 3), conv(96, 96, 3, 2, "valid")),
                nn.MaxPool2d(3, 2),
            ),
        )
        self.middle = nn.Sequential(*map(_middle, (128, 160, 160, 192)))
        self.small = nn.Sequential(
            Branches(
                nn.Sequential(conv(768, 192), conv(192, 320, 3, 2, "valid")),
                nn.Sequential(conv(768, 192), *_both_ways(192, 192), conv(192, 192, 3, 2, "valid")),
                nn.MaxPool2d(3, 2),
            ),
            *map(_small, (1280, 2048)),
        )
        self.output = nn.Linear(2048, 1000)
        self.auxiliary = nn.Sequential(
            nn.AvgPool2d(5, 3), conv(768, 128), conv(128, 768, 5, 1, "valid")
        )
        self.auxiliary_output = nn.Linear(768, 1000)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits, and those of the auxiliary head."""
        middle = self.middle(self.large(self.stem(images)))
        heads = self.small(middle), self.auxiliary(middle)
        outputs = self.output, self.auxiliary_output
        first, second = (out(head.mean((2, 3))) for out, head in zip(outputs, heads, strict=True))
        return first, second


class MobileNetV1(nn.Module):
    """MobileNetV1 of full width (arXiv 1704.04861)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (32, 64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024)
        layers = [*_halved(), _wide(nn.Conv2d(3, 32, 3, 2, bias=False))]
        for inputs, outputs in pairwise(widths):
            halves = inputs != outputs and inputs > 32
            layers += _halved() if halves else []
            padding = 0 if halves else 1
            spatial = nn.Conv2d(
                inputs, inputs, 3, 2 if halves else 1, padding, groups=inputs, bias=False
            )
            layers += [_wide(spatial), _wide(nn.Conv2d(inputs, outputs, 1, bias=False))]
        self.body = nn.Sequential(*layers)
        self.output = nn.Conv2d(1024, 1000, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return self.output(self.body(images).mean((2, 3), keepdim=True)).flatten(1)


def conv(
    inputs: int,
    outputs: int,
    size: int | tuple[int, int] = 1,
    stride: int = 1,
    padding: str = "same",
) -> nn.Sequential:
    """Return a convolution, normalised and rectified; Keras has no gain here, so ours is 1."""
    layer = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs, eps=1e-3), nn.ReLU())


def _wide(layer: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels, eps=1e-3), nn.ReLU6())


def _halved() -> list[nn.Module]:
    """Return what Keras pads before a convolution of stride 2."""
    return [nn.ZeroPad2d((0, 1, 0, 1))]


def _pooled(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), conv(inputs, outputs))


def _large(inputs: int, pooled: int) -> Branches:
    return Branches(
        conv(inputs, 64),
        nn.Sequential(conv(inputs, 48), conv(48, 64, 5)),
        nn.Sequential(conv(inputs, 64), conv(64, 96, 3), conv(96, 96, 3)),
        _pooled(inputs, pooled),
    )


def _both_ways(inputs: int, outputs: int) -> list[nn.Module]:
    return [conv(inputs, inputs, (1, 7)), conv(inputs, outputs, (7, 1))]


def _middle(width: int) -> Branches:
    twice = [
        *(conv(width, width, (7, 1)), conv(width, width, (1, 7))),
        *(conv(width, width, (7, 1)), conv(width, 192, (1, 7))),
    ]
    return Branches(
        conv(768, 192),
        nn.Sequential(conv(768, width), *_both_ways(width, 192)),
        nn.Sequential(conv(768, width), *twice),
        _pooled(768, 192),
    )


def _small(inputs: int) -> Branches:
    def crossed() -> Branches:
        return Branches(conv(384, 384, (1, 3)), conv(384, 384, (3, 1)))

    return Branches(
        conv(inputs, 320),
        nn.Sequential(conv(inputs, 384), crossed()),
        nn.Sequential(conv(inputs, 448), conv(448, 384, 3), crossed()),
        _pooled(inputs, 192),
    )
