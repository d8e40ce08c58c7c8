"""What the bias of a layer implies for its weight: a bias is as long as the layer has outputs.

So a weight whose first axis is not that long is not stored as ``(out, in, *spatial)``.
"""

from __future__ import annotations

from collections.abc import Mapping

from secateur.adapter import Tensor
from secateur.checkpoints.habits import split_name
from secateur.layout import DENSE_IN_OUT, Layout, conv_transpose_iohw

BiasHint = tuple[str, Layout, str]
"""A kind, the layout that leads to the canonical one, and what they follow from."""
_SPATIAL = (3, 4, 5)


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
    return hints | dict.fromkeys(alike, _INPUTS_FIRST)


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
