"""Recurrent and attention weights, which PyTorch stores packed, as the live model has them.

A recurrent layer stacks the weights of its gates, and their number follows from the shapes: the
rows of ``weight_hh`` over its columns are 1, 3 or 4.  An ``in_proj_weight`` is three equal
parts: query, key and value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from secateur.adapter import Tensor
from secateur.checkpoints.inferred.habits import split_name, unwrapped
from secateur.checkpoints.parts import Part
from secateur.layout import FLOATS, rnn_gates_in

_RECURRENT = re.compile(r"weight_(ih|hh|hr)((?:_l(\d+)(_reverse)?)?)")
_PACKED = re.compile(r"weight_(ih|hh|hr)(_l\d+(_reverse)?)?|in_proj_weight|[qkv]_proj_weight")
_ROLES = {"ih": "kernel", "hh": "recurrent", "hr": "output"}
_PROJECTIONS = ("query", "key", "value")
_LAYERS = {1: "RNN", 3: "GRU", 4: "LSTM"}
"""What PyTorch calls a recurrent layer of so many gates, when it is a whole model."""


def is_packed(tensor: str) -> bool:
    """Return whether a tensor is named as one of those that PyTorch packs.

    >>> is_packed("lstm.weight_hh_l0"), is_packed("fc.weight")
    (True, False)
    """
    return bool(_PACKED.fullmatch(split_name(tensor)[1]))


def packed_parts(tensors: Mapping[str, Tensor]) -> dict[str, list[Part]]:
    """Return the weights in each packed tensor, where the shapes tell them.

    Args:
        tensors: All tensors of a checkpoint, by name.

    """
    floats = {n: t for n, t in tensors.items() if t.dtype in FLOATS and len(t.shape) == 2}
    found: dict[str, list[Part]] = {}
    for part in (*_recurrent(floats), *_attention(floats)):
        found.setdefault(part.tensor, []).append(part)
    return found


@dataclass(frozen=True)
class _Cell:
    """The tensors of one layer of a recurrent module in one direction, by their short names."""

    number: int | None
    is_reverse: bool
    tensors: Mapping[str, Tensor]

    def gates(self) -> int | None:
        """Return the number of gates that the shapes tell, or None."""
        if not {"ih", "hh"} <= self.tensors.keys():
            return None
        rows, state = self.tensors["hh"].shape
        projection = self.tensors.get("hr")
        hidden = state if projection is None else projection.shape[1]
        fits = rows == self.tensors["ih"].shape[0] and hidden and rows % hidden == 0
        gates = rows // hidden if fits else 0
        if projection is not None and (projection.shape[0] != state or gates != 4):
            return None
        return gates if gates in _LAYERS else None


def _recurrent(tensors: Mapping[str, Tensor]) -> Iterator[Part]:
    modules: dict[str, dict[str, dict[str, Tensor]]] = {}
    for name, tensor in tensors.items():
        layer, last = split_name(unwrapped(name))
        if match := _RECURRENT.fullmatch(last):
            modules.setdefault(layer, {}).setdefault(match[2], {})[match[1]] = tensor
    for layer, suffixes in modules.items():
        cells = [_cell(suffix, held) for suffix, held in suffixes.items()]
        stacked = any(cell.number for cell in cells)
        both = any(cell.is_reverse for cell in cells)
        for cell in cells:
            yield from _cell_parts(layer, cell, stacked, both)


def _cell(suffix: str, tensors: Mapping[str, Tensor]) -> _Cell:
    match = re.fullmatch(r"(?:_l(\d+)(_reverse)?)?", suffix)
    number = match[1] if match else None
    return _Cell(None if number is None else int(number), suffix.endswith("_reverse"), tensors)


def _cell_parts(layer: str, cell: _Cell, stacked: bool, both: bool) -> Iterator[Part]:
    gates = cell.gates()
    if gates is None:
        return
    layer = layer or _LAYERS[gates] + ("Cell" if cell.number is None else "")
    if stacked:
        layer += f".l{cell.number}"
    direction = (".backward" if cell.is_reverse else ".forward") if both else ""
    for short, tensor in cell.tensors.items():
        count = 1 if short == "hr" else gates
        yield Part(
            f"{layer}{direction}:{_ROLES[short]}",
            tensor.name,
            "rnn",
            layer,
            rnn_gates_in(tensor.shape, count),
            reason=f"rnn of {gates} gates, by the rows of weight_hh over its columns",
        )


def _attention(tensors: Mapping[str, Tensor]) -> Iterator[Part]:
    for name, tensor in tensors.items():
        inside, last = name[: -len(split_name(name)[1])], split_name(name)[1]
        layer = split_name(unwrapped(name))[0]
        output = tensors.get(f"{inside}out_proj.weight")
        found: list[Part] = []
        if last == "in_proj_weight":
            found = list(_three(layer or "MultiheadAttention", tensor))
        elif last == "q_proj_weight":
            stored = [tensors.get(f"{inside}{role[0]}_proj_weight") for role in _PROJECTIONS]
            found = list(_separate(layer or "MultiheadAttention", stored))
        yield from found
        if found and output is not None:
            yield _projection(layer or "MultiheadAttention", "output", output)


def _three(layer: str, tensor: Tensor) -> Iterator[Part]:
    width = tensor.shape[1]
    if tensor.shape[0] == 3 * width:
        for number, role in enumerate(_PROJECTIONS):
            yield _projection(layer, role, tensor, (number * width, (number + 1) * width))


def _separate(layer: str, stored: list[Tensor | None]) -> Iterator[Part]:
    present = [tensor for tensor in stored if tensor is not None]
    width = present[0].shape[0]
    if len(present) == len(_PROJECTIONS) and {t.shape[0] for t in present} == {width}:
        for role, tensor in zip(_PROJECTIONS, present, strict=True):
            yield _projection(layer, role, tensor)


def _projection(layer: str, role: str, tensor: Tensor, rows: tuple[int, int] | None = None) -> Part:
    reason = "attention, by the names and shapes of its projections"
    return Part(f"{layer}:{role}", tensor.name, "attention", layer, rows=rows, reason=reason)
