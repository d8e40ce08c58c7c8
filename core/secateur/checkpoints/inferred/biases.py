"""What other tensors imply for a weight, above all its bias, as long as the layer has outputs.

So a weight whose first axis is not that long is not stored as ``(out, in, *spatial)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from secateur.adapter import Tensor
from secateur.checkpoints.inferred.habits import names_conv1d, names_depthwise, split_name
from secateur.layout import DENSE_IN_OUT, IDENTITY, Layout, conv_transpose_iohw

BiasHint = tuple[str, Layout, str]
"""A kind, the layout that leads to the canonical one, and what they follow from."""
_SPATIAL = (3, 4, 5)
_COLOURS = 3


def hints_of_biases(tensors: Mapping[str, Tensor]) -> dict[str, BiasHint]:
    """Return what biases imply for weights that are not stored as ``(out, in, *spatial)``.

    A square weight is taken as the others are whose layers have the same last name: GPT-2 calls
    a square one and a wide one ``c_proj``.

    Args:
        tensors: All tensors of a checkpoint, by name.

    """
    hints: dict[str, BiasHint] = {}
    square: dict[str, str] = {}
    turned, straight = set[str](), set[str]()
    for name, tensor in tensors.items():
        layer, last = split_name(name)
        outputs = _length(tensors.get(f"{name[: -len(last)]}bias"))
        if last not in ("weight", "kernel") or not outputs:
            continue
        word = split_name(layer)[1]
        if len(tensor.shape) in _SPATIAL and last == "weight":
            hints |= _transposed(tensor, outputs)
        elif tensor.shape == (outputs, outputs):
            square[name] = word
        elif len(tensor.shape) == 2 and tensor.shape[1] == outputs:
            hints[name] = _INPUTS_FIRST
            turned.add(word)
        elif len(tensor.shape) == 2:
            straight.add(word)
    alike = {name for name, word in square.items() if word in turned - straight}
    return hints | dict.fromkeys(alike, _INPUTS_FIRST) | _of_gpt2(tensors) | _depthwise(tensors)


def _of_gpt2(tensors: Mapping[str, Tensor]) -> dict[str, BiasHint]:
    """Return the weights of GPT-2's Conv1D, in a file whose ``c_attn`` is three times as wide.

    Others use these names for ordinary layers, and keep ``(out, in)``.
    """
    named = {n: t for n, t in tensors.items() if names_conv1d(split_name(n)[0])}
    wide = [t.shape for n, t in named.items() if n.endswith("c_attn.weight") and len(t.shape) == 2]
    if not wide or not all(shape[1] == 3 * shape[0] for shape in wide):
        return {}
    reason = "dense, stored as (in, out), by the names of GPT-2's Conv1D"
    hint: BiasHint = ("dense", DENSE_IN_OUT, reason)
    return {n: hint for n, t in named.items() if len(t.shape) == 2 and n.endswith(".weight")}


def _depthwise(tensors: Mapping[str, Tensor]) -> dict[str, BiasHint]:
    """Return kernels of one input channel, in a file of a network for colour images.

    Without a convolution of 3 channels, the first one of gray images has that shape, too.
    """
    kernels = {n: t for n, t in tensors.items() if len(t.shape) == 4 and n.endswith(".weight")}
    if not any(tensor.shape[1] == _COLOURS for tensor in kernels.values()):
        return {}
    reason = "depthwise: one input channel, and the images have 3"
    return {
        name: ("depthwise", IDENTITY, reason)
        for name, tensor in kernels.items()
        if tensor.shape[0] > 1 == tensor.shape[1] and prod(tensor.shape[2:]) > 1
        if not names_depthwise(split_name(name)[0])
    }


_INPUTS_FIRST: BiasHint = ("dense", DENSE_IN_OUT, "dense, stored as (in, out), by the bias")


def _length(bias: Tensor | None) -> int:
    return bias.shape[0] if bias is not None and len(bias.shape) == 1 else 0


def _transposed(tensor: Tensor, outputs: int) -> dict[str, BiasHint]:
    """Return that a weight is ``(in, out/groups, *spatial)``, if its bias implies it."""
    inputs, per_group, *_ = tensor.shape
    groups, rest = divmod(outputs, per_group) if per_group else (0, 0)
    if inputs == outputs or rest or not groups or inputs % groups:
        return {}
    layout = conv_transpose_iohw(tensor.shape, groups)
    reason = "conv_transpose, stored as (in, out, *spatial), by the bias"
    return {tensor.name: ("conv_transpose", layout, reason)}
