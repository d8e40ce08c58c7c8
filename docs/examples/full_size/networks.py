"""The networks of published pruning results, in both frameworks, from equal random weights.

Published are the non-zeros at each sparsity in "To prune, or not to prune" (arXiv 1710.01878), and
what of a network is pruned there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from translation.equal_weights import draw, fill_keras, fill_torch
from translation.shape import PUBLISHED, RULES


@dataclass(frozen=True)
class Network:
    """A network that is only counted.

    Attributes:
        torch: Makes it in PyTorch.
        keras: Makes it in Keras.
        rules: What of it is pruned; the words of layers that stay dense, by framework.
        published: The published non-zeros in millions, by sparsity.
        vectors: Whether those count biases, and what else is no matrix.

    """

    torch: Callable[[], Any]
    keras: Callable[[], Any]
    rules: Callable[[str], list[dict[str, Any]]]
    published: Mapping[float, float]
    vectors: bool = False


def _torch_conv(name: str) -> Any:
    import torch
    from full_size import torch_networks

    model = getattr(torch_networks, name)()
    with torch.no_grad():
        for number, layer in enumerate(in_order("torch", model).values()):
            layer.weight.copy_(torch.from_numpy(draw(str(number), tuple(layer.weight.shape))))
            if layer.bias is not None:
                layer.bias.zero_()  # as in Keras
    return model


def _keras_conv(name: str) -> Any:
    from full_size import keras_networks

    model = getattr(keras_networks, name)()
    for number, layer in enumerate(in_order("keras", model).values()):
        turn = {4: (3, 2, 0, 1), 2: (1, 0)}[layer.kernel.ndim]
        turn = (2, 3, 0, 1) if "Depthwise" in type(layer).__name__ else turn
        shape = [layer.kernel.shape[place] for place in turn]
        back = sorted(range(len(turn)), key=turn.__getitem__)
        layer.kernel.assign(draw(str(number), tuple(shape)).transpose(back))
    return model


def _torch_gnmt() -> Any:
    from translation.torch_network import Translator

    model = Translator(PUBLISHED)
    fill_torch(model)
    return model


def _keras_gnmt() -> Any:
    import numpy as np
    from translation.keras_network import Translator

    model = Translator(PUBLISHED)
    model((np.ones((1, 2), int), np.ones((1, 2), int)))
    fill_keras(model)
    return model


def in_order(framework: str, model: Any) -> dict[str, Any]:
    """Return the layers that hold a kernel, by name, in the order in which they were made."""
    if framework == "torch":
        from torch import nn

        kinds = (nn.Conv2d, nn.Linear)
        found = {name: one for name, one in model.named_modules() if isinstance(one, kinds)}
        matrices = {name: one for name, one in found.items() if isinstance(one, nn.Linear)}
        return {name: one for name, one in found.items() if name not in matrices} | matrices
    layers = [layer for layer in model.layers if hasattr(layer, "kernel")]
    layers.sort(key=lambda layer: (layer.kernel.ndim == 2, _number(layer.name)))
    return {layer.name: layer for layer in layers}


def _number(name: str) -> int:
    """Return which one a layer is that Keras has numbered: conv2d, conv2d_1 and so on."""
    found = re.fullmatch(r"conv2d(?:_(\d+))?", name)
    return int(found[1] or 0) if found else 0


def _everything(framework: str) -> list[dict[str, Any]]:
    return [{"match": {}}]


def _but_depthwise(framework: str) -> list[dict[str, Any]]:
    first = {"keras": "conv1", "torch": "body.1.0"}[framework]  # its layers are named otherwise
    dense = [{"match": {"kind": "depthwise"}}, {"match": {"name": first}}]
    return [*({**rule, "prune": False} for rule in dense), {"match": {}}]


NETWORKS = {
    "InceptionV3": Network(
        lambda: _torch_conv("InceptionV3"),
        lambda: _keras_conv("inception"),
        _everything,
        {0.0: 27.1, 0.5: 13.6, 0.75: 6.8, 0.875: 3.3},
    ),
    "MobileNetV1": Network(
        lambda: _torch_conv("MobileNetV1"),
        lambda: _keras_conv("mobilenet"),
        _but_depthwise,
        {0.0: 4.21, 0.5: 2.13, 0.75: 1.09, 0.9: 0.46},
    ),
    "GNMT": Network(
        _torch_gnmt,
        _keras_gnmt,
        lambda framework: RULES,
        {0.0: 211, 0.8: 44, 0.85: 33, 0.9: 23},
        vectors=True,
    ),
}
