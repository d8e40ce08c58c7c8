"""ResNet-50, MobileNetV2 and ViT-B/16, as their papers and torchvision have them."""

from __future__ import annotations

import torch
from torch import nn


class Convolution(nn.Sequential):
    """Convolution, batch normalisation, activation."""

    def __init__(self, inputs, outputs, size=1, stride=1, groups=1, act=nn.ReLU):
        conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), *([act()] if act else []))


class Bottleneck(nn.Module):
    """He et al. 2016, arXiv 1512.03385, with the stride in the 3x3 convolution."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.body = nn.Sequential(
            Convolution(inputs, width),
            Convolution(width, width, 3, stride),
            Convolution(width, 4 * width, act=None),
        )
        same = stride == 1 and inputs == 4 * width
        self.shortcut = (
            nn.Identity() if same else Convolution(inputs, 4 * width, 1, stride, act=None)
        )

    def forward(self, x):
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet50():
    layers = [Convolution(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for width, depth, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for number in range(depth):
            layers.append(Bottleneck(inputs, width, 1 if number else stride))
            inputs = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


class InvertedResidual(nn.Module):
    """Sandler et al. 2018, arXiv 1801.04381."""

    def __init__(self, inputs, outputs, stride, expand):
        super().__init__()
        hidden = inputs * expand
        wide = [Convolution(inputs, hidden, act=nn.ReLU6)] if expand > 1 else []
        self.body = nn.Sequential(
            *wide,
            Convolution(hidden, hidden, 3, stride, hidden, nn.ReLU6),
            Convolution(hidden, outputs, act=None),
        )
        self.same = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.same else self.body(x)


def mobilenet_v2():
    layers = [Convolution(3, 32, 3, 2, act=nn.ReLU6)]
    inputs = 32
    blocks = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    for expand, outputs, depth, stride in blocks:
        for number in range(depth):
            layers.append(InvertedResidual(inputs, outputs, 1 if number else stride, expand))
            inputs = outputs
    head = [Convolution(320, 1280, act=nn.ReLU6), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *head, nn.Dropout(0.2), nn.Linear(1280, 1000))


class VisionTransformer(nn.Module):
    """Dosovitskiy et al. 2021, arXiv 2010.11929: ViT-B/16 at 224 pixels."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 768, 16, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, 768))
        self.position = nn.Parameter(torch.zeros(1, 197, 768))
        layer = nn.TransformerEncoderLayer(
            768, 12, 3072, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, 12, nn.LayerNorm(768), enable_nested_tensor=False
        )
        self.head = nn.Linear(768, 1000)

    def forward(self, images):
        patches = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), patches], 1)
        return self.head(self.encoder(tokens + self.position)[:, 0])


NETWORKS = {
    # name: (make, parameters, weights that can be pruned)
    "resnet50": (resnet50, 25_557_032, 54),
    "mobilenet_v2": (mobilenet_v2, 3_504_872, 53),
    "vit_b_16": (VisionTransformer, 86_567_656, 1 + 12 * 6 + 1),
}
