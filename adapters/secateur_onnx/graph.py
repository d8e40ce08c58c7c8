"""What a graph does with its initializers tells which of them are weights, and their layouts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from secateur.adapter import FLOATS, KnownWeight, Skipped, Tensor
from secateur.layout import (
    DENSE_IN_OUT,
    IDENTITY,
    Layout,
    Reshape,
    Take,
    conv_transpose_iohw,
)
from secateur_onnx.names import layer_of

_GATES = {"LSTM": (4, (0, 2, 3, 1)), "GRU": (3, (1, 0, 2)), "RNN": (1, ())}
"""The gates of recurrent nodes, and for each canonical gate its position: iofc, zrh."""
_PASSING = ("Identity", "Cast", "Transpose")
_DIRECTIONS = {"bidirectional": ("forward", "backward"), "reverse": ("",), "forward": ("",)}
_PROJECTIONS = {"query": "query", "key": "key", "value": "value", "attention_output": "output"}


@dataclass(frozen=True)
class _Use:
    """A node that uses an initializer, directly or behind a Transpose.

    Attributes:
        node: The node.
        position: Which of its inputs it is.
        turned: Whether its two axes were exchanged before.

    """

    node: Any
    position: int
    turned: bool = False

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the node."""
        return {each.name: _value(each) for each in self.node.attribute}


def _value(attribute: Any) -> Any:
    if attribute.type == attribute.INT:
        return attribute.i
    if attribute.type == attribute.STRING:
        return attribute.s.decode(errors="replace")
    return list(attribute.ints)


def weights_of(
    graph: Any, tensors: Mapping[str, Tensor]
) -> tuple[list[KnownWeight], list[Skipped]]:
    """Return the prunable initializers of a graph, in its order, and the others.

    Args:
        graph: The `GraphProto`.
        tensors: Its initializers, by name.

    """
    found: dict[str, list[KnownWeight]] = {}
    reasons: dict[str, str] = {}
    for name, use in _uses(graph, tensors):
        if name in found:
            continue
        described = f"{tensors[name].dtype} of rank {len(tensors[name].shape)}"
        weights = list(_weights(tensors[name], use))
        if weights:
            found[name] = weights
        else:
            reasons.setdefault(
                name, f"{described}: input {use.position} of {use.node.op_type:.40}: not a kernel"
            )
    left = [
        Skipped(name, reasons.get(name) or tensor.why_dense, tensor.size)
        for name, tensor in tensors.items()
        if name not in found
    ]
    return _distinct(_attention([each for group in found.values() for each in group])), left


def _uses(graph: Any, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, _Use]]:
    """Yield each use of a float initializer of rank 2 or more, in the order of the nodes."""
    behind = {
        name: (name, False)
        for name, tensor in tensors.items()
        if tensor.dtype in FLOATS and len(tensor.shape) >= 2
    }
    for node in graph.node:
        for position, used in enumerate(node.input):
            if used not in behind:
                continue
            name, turned = behind[used]
            use = _Use(node, position, turned)
            if node.op_type in _PASSING and position == 0 and len(node.output) == 1:
                exchanged = node.op_type == "Transpose" and len(tensors[name].shape) == 2
                if node.op_type != "Transpose" or exchanged:
                    perm = use.attributes.get("perm", [1, 0])
                    behind[node.output[0]] = (name, turned ^ (exchanged and perm == [1, 0]))
                    continue
            yield name, use


def _weights(tensor: Tensor, use: _Use) -> Iterator[KnownWeight]:
    """Yield the weights in an initializer, as its use tells them."""
    node, rank = use.node, len(tensor.shape)
    operation = node.op_type
    if operation in _GATES and use.position in (1, 2) and rank == 3:
        yield from _recurrent(tensor, use)
    elif use.position == 1 and operation == "Conv" and 3 <= rank <= 5:
        grouped = use.attributes.get("group", 1) > 1 == tensor.shape[1]
        yield _known(tensor, use, "depthwise" if grouped else "conv", IDENTITY)
    elif use.position == 1 and operation == "ConvTranspose" and 3 <= rank <= 5:
        groups = use.attributes.get("group", 1)
        if groups > 0 and tensor.shape[0] % groups == 0:
            layout = conv_transpose_iohw(tensor.shape, groups)
            yield _known(tensor, use, "conv_transpose", layout)
    elif use.position == 1 and operation in ("Gemm", "MatMul") and rank == 2:
        outputs_first = bool(use.attributes.get("transB", 0)) ^ use.turned
        yield _known(tensor, use, "dense", IDENTITY if outputs_first else DENSE_IN_OUT)
    elif use.position == 0 and operation == "MatMul" and rank == 2:  # weight @ input
        yield _known(tensor, use, "dense", DENSE_IN_OUT if use.turned else IDENTITY)
    elif _is_table(tensor, use):
        yield _known(tensor, use, "embedding", IDENTITY)


def _is_table(tensor: Tensor, use: _Use) -> bool:
    """Return whether rows of an initializer are looked up."""
    is_looked_up = use.node.op_type == "Gather" and use.attributes.get("axis", 0) == 0
    return is_looked_up and use.position == 0 and len(tensor.shape) == 2 and not use.turned


def _known(tensor: Tensor, use: _Use, kind: str, layout: Layout) -> KnownWeight:
    layer, inside = layer_of(use.node, tensor.name)
    if "separable_conv" in inside:
        layer += ".depthwise" if kind == "depthwise" else ".pointwise"
    role = "embedding" if kind == "embedding" else "kernel"
    name = f"{layer}:{role}" if layer else tensor.name
    return KnownWeight(name, tensor.name, kind, layer or tensor.name, layout)


def _recurrent(tensor: Tensor, use: _Use) -> Iterator[KnownWeight]:
    count, order = _GATES[use.node.op_type]
    directions, rows, columns = tensor.shape
    words = _DIRECTIONS.get(use.attributes.get("direction", "forward"), ())
    if len(words) != directions or rows % count:
        return
    split = Reshape((1, rows, columns), (count, rows // count, columns))
    layout = Layout((split, Take(order)) if order else (split,))
    layer = layer_of(use.node, tensor.name)[0] or use.node.name or use.node.op_type
    role = "kernel" if use.position == 1 else "recurrent"
    for number, word in enumerate(words):
        path = f"{layer}.{word}" if word else layer
        rows_of_it = (number, number + 1)
        yield KnownWeight(f"{path}:{role}", tensor.name, "rnn", path, layout, rows_of_it)


def _attention(weights: list[KnownWeight]) -> list[KnownWeight]:
    """Return weights in which the projections of Keras's attention have the names of roles."""
    layers = {weight.layer for weight in weights}
    return [_projection(weight, layers) for weight in weights]


def _projection(weight: KnownWeight, layers: set[str]) -> KnownWeight:
    above, _, last = weight.layer.rpartition(".")
    if weight.kind != "dense" or not {f"{above}.{each}" for each in _PROJECTIONS} <= layers:
        return weight
    if last not in _PROJECTIONS:
        return weight
    return replace(weight, name=f"{above}:{_PROJECTIONS[last]}", kind="attention", layer=above)


def _distinct(weights: list[KnownWeight]) -> list[KnownWeight]:
    """Return the weights under unique names: a layer may be two nodes of a graph."""
    taken: set[str] = set()
    found = []
    for weight in weights:
        name = weight.name if weight.name not in taken else weight.tensor
        taken.add(name)
        found.append(replace(weight, name=name))
    return found
