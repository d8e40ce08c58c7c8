"""The name of a layer in an ONNX graph: what exporters keep of the names in the framework."""

from __future__ import annotations

import ast
import re
from typing import Any

_SCOPES = "pkg.torch.onnx.name_scopes"
_CALL = re.compile(r"_\d+$")


def layer_of(node: Any, initializer: str) -> tuple[str, str]:
    """Return the path of the layer that a node belongs to, and the operation in that layer.

    From ``fc.weight`` (PyTorch), the scopes that torch.onnx notes, ``/encoder/fc/MatMul`` (the
    older exporter of PyTorch), or ``net_1/fc_1/MatMul`` (Keras by tf2onnx).

    Args:
        node: The node that uses the initializer.
        initializer: Its name.

    """
    name = initializer.replace("_orig_mod.", "")
    if name.endswith((".weight", ".kernel")):
        return name.rpartition(".")[0], ""
    if scopes := _scopes(node):
        return scopes[-2], scopes[-1]  # each scope is the whole path from the root
    if node.name.startswith("/"):
        path = node.name.strip("/").split("/")
        return ".".join(path[:-1]), path[-1]
    return _of_keras(node.name)


def _scopes(node: Any) -> list[str]:
    found = next((each.value for each in node.metadata_props if each.key == _SCOPES), "")
    try:
        scopes = ast.literal_eval(found) if found and len(found) < 4096 else []
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    is_path = isinstance(scopes, list) and all(isinstance(each, str) for each in scopes)
    return scopes if is_path and len(scopes) > 1 else []


def _of_keras(name: str) -> tuple[str, str]:
    """Return the layer of a node that tf2onnx named: below the model, each layer has its number.

    >>> _of_keras("net_1/block_2_1/conv_1/convolution")
    ('block_2.conv', 'convolution')
    >>> _of_keras("LSTM__120")
    ('', 'LSTM__120')
    """
    root, *parts = name.removeprefix("StatefulPartitionedCall/").split("/")
    number = _CALL.search(root)
    if not number or not parts:
        return "", name
    layers = []
    while parts and parts[0].endswith(number[0]):
        layers.append(parts.pop(0).removesuffix(number[0]))
    return ".".join(layers), "/".join(parts)
