"""Targets beside live models of the frameworks: what only they know, and ties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import secateur

pytestmark = pytest.mark.framework


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 32, 1, groups=4)
        self.lstm = nn.LSTM(32, 16)
        self.first = nn.Linear(16, 16)
        self.head = nn.Linear(16, 16)
        self.head.weight = self.first.weight


def statuses(report: secateur.TargetReport) -> dict[str, str]:
    return {each.spec.name: each.status for each in report.weights}


def test_pytorch():
    report = secateur.target("xnnpack-arm", Tied())
    found = {each.spec.name: each for each in report.weights}
    assert found["conv:kernel"].reasons["sparse"] == ("grouped convolution (4 groups)",)
    assert found["lstm:kernel"].status == "not eligible"
    assert any("tied" in note and "first:kernel" in note for note in report.notes)
    policy = secateur.target("torch-2to4", Tied()).policy
    assert 'kind = ["dense"]' in policy


def test_keras():
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 16)),
            layers.Conv2D(32, 1, groups=4, name="grouped"),
            layers.SeparableConv2D(16, 3, name="separable"),
        ]
    )
    report = secateur.target("xnnpack-arm", model)
    assert statuses(report) == {
        "grouped:kernel": "dense",
        "separable.depthwise:kernel": "not eligible",
        "separable.pointwise:kernel": "dense",
    }
    uses = {each.spec.name: each.use and each.use.id for each in report.weights}
    assert uses["grouped:kernel"] == "encoded"
    assert uses["separable.pointwise:kernel"] == "sparse"


def test_flax():
    nnx = pytest.importorskip("flax.nnx")
    model = nnx.Conv(16, 32, (1, 1), feature_group_count=4, rngs=nnx.Rngs(0))
    (found,) = secateur.target("xnnpack-arm", model).weights
    assert found.spec.groups == 4
    assert np.prod(found.spec.shape) == 32 * 4
    assert torch  # imported before TensorFlow, which Keras may load
