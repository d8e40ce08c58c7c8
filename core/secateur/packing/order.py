"""The order in which a tensor's values are stored: weight by weight, each in canonical layout.

A Keras and a PyTorch model that hold the same weights store the same bytes for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from secateur.adapter import StatePart
from secateur.errors import ModelError, shown
from secateur.kinds import kind_named
from secateur.layout import Array, Flip, Layout, Rearrangement, Reshape, Take, Transpose

Step = tuple[str, tuple[int, ...]]
"""A word and its argument: one step from the canonical layout to that of the tensor."""
_MOST_STEPS = 16
_DEEPEST = 64
_WORDS = ("reshape", "transpose", "take", "flip")


@dataclass(frozen=True)
class Part:
    """A prunable weight in a tensor, as a packed file notes it.

    Attributes:
        weight: The name of the weight.
        shape: Its canonical shape.
        channels: The number of its output channels, along its first axes.
        steps: Lead from its canonical layout to that of the tensor, or its rows.
        kind: The name of its kind; empty where the file does not say it.

    """

    weight: str
    shape: tuple[int, ...]
    channels: int
    steps: tuple[Step, ...] = ()
    kind: str = ""

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)


def parts_of(parts: Sequence[StatePart], shape: tuple[int, ...]) -> tuple[Part, ...]:
    """Return the weights of a tensor in the order of its rows; none where they do not fill it.

    Args:
        parts: The weights that lie in the tensor.
        shape: Its shape.

    """
    ordered = sorted(parts, key=lambda part: part.rows or (0, 0))
    if ordered and [part.rows for part in ordered] != [None]:
        ends = [0, *(part.rows[1] for part in ordered if part.rows)]
        if [part.rows for part in ordered] != list(pairwise(ends)) or ends[-1] != shape[0]:
            return ()
    found = [_part(part, shape) for part in ordered]
    return tuple(part for part in found if part is not None) if None not in found else ()


def _part(part: StatePart, shape: tuple[int, ...]) -> Part | None:
    own = shape if part.rows is None else (part.rows[1] - part.rows[0], *shape[1:])
    steps = _steps(part.layout)
    if steps is None:
        return None
    canonical = part.layout.to_canonical(np.broadcast_to(np.empty(()), own)).shape
    channels = prod(canonical[: kind_named(part.kind).out_axis + 1])
    return Part(part.weight, canonical, channels, steps, part.kind)


def _steps(layout: Layout) -> tuple[Step, ...] | None:
    """Return the way back from the canonical layout in words; None where there are none."""
    steps: list[Step] = []
    for step in reversed(layout.steps):
        if isinstance(step, Reshape):
            steps.append(("reshape", step.before))
        elif isinstance(step, Transpose):
            steps.append(("transpose", tuple(np.argsort(step.axes).tolist())))
        elif isinstance(step, Take):
            steps.append(("take", tuple(np.argsort(step.order).tolist())))
        elif isinstance(step, Flip):
            steps.append(("flip", step.axes))
        else:
            return None
    return tuple(steps)


def state_parts(parts: Sequence[Part]) -> tuple[StatePart, ...]:
    """Return the weights of a packed tensor as those of a model, to compare or measure them.

    Args:
        parts: The weights, in the order of the rows of the tensor.

    Raises:
        ValueError: The steps of a part cannot be taken.

    """
    found, row = [], 0
    for part in parts:
        layout, shape = _layout(part)
        rows = (row, row + shape[0]) if len(parts) > 1 else None
        row += shape[0] if shape else 0
        found.append(StatePart(part.weight, part.kind or "dense", layout, rows))
    return tuple(found)


def _layout(part: Part) -> tuple[Layout, tuple[int, ...]]:
    """Return the layout that leads to the canonical one, and the shape that it leads from."""
    steps: list[Rearrangement] = []
    array = np.broadcast_to(np.empty((), np.bool_), part.shape)
    for word, argument in part.steps:
        if word == "reshape":
            step: Rearrangement = Reshape(argument, array.shape)
        elif word == "transpose":
            step = Transpose(tuple(np.argsort(argument).tolist()))
        elif word == "flip":
            step = Flip(argument)
        else:
            step = Take(tuple(np.argsort(argument).tolist()))
        array = _step(array, word, argument)
        steps.append(step)
    return Layout(tuple(reversed(steps))), array.shape


def to_stored(array: Array, parts: Sequence[StatePart]) -> Array:
    """Return the values of a tensor, flat, in the order in which they are stored.

    Args:
        array: The tensor.
        parts: The weights that `parts_of` split into parts; with none it keeps its own order.

    """
    ordered = sorted(parts, key=lambda part: part.rows or (0, 0))
    pieces = [
        part.layout.to_canonical(array if part.rows is None else array[slice(*part.rows)])
        for part in ordered
    ] or [array]
    flat = [np.ascontiguousarray(piece).reshape(-1) for piece in pieces]
    return flat[0] if len(flat) == 1 else np.concatenate(flat)


def canonical_parts(stored: Array, parts: Sequence[Part]) -> list[Array]:
    """Return the weights of a tensor in canonical layout, as views of its stored values.

    Args:
        stored: The values, flat.
        parts: The weights.

    """
    ends = np.cumsum([part.size for part in parts])[:-1].tolist()
    pieces = np.split(stored, ends)
    return [piece.reshape(part.shape) for piece, part in zip(pieces, parts, strict=True)]


def from_stored(stored: Array, parts: Sequence[Part], shape: tuple[int, ...]) -> Array:
    """Return a tensor in its own layout.

    Args:
        stored: The values, flat.
        parts: The weights in it; none when it is stored in its own order.
        shape: Its shape.

    Raises:
        ValueError: The steps of a part do not lead to the shape.

    """
    if not parts:
        return stored.reshape(shape)
    pieces = []
    for array, part in zip(canonical_parts(stored, parts), parts, strict=True):
        for word, argument in part.steps:
            array = _step(array, word, argument)
        pieces.append(array)
    found: Array = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    if found.shape != shape:
        raise ValueError(f"the steps lead to the shape {found.shape}, not {shape}")
    return found


def _step(array: Array, word: str, argument: tuple[int, ...]) -> Array:
    if word == "reshape":
        return array.reshape(argument)
    if word == "transpose":
        return array.transpose(argument)
    if word == "flip":
        return np.flip(array, argument)
    if sorted(argument) != list(range(len(array))):
        raise ValueError(f"{argument!r:.80} does not reorder {len(array)} rows")
    return array[list(argument)]


def read_parts(found: Any, size: int) -> tuple[Part, ...]:
    """Return the parts that a manifest declares.

    Args:
        found: The value of ``parts``, as JSON gave it.
        size: The size of the tensor.

    Raises:
        ModelError: They are not parts of such a tensor.

    """
    if not isinstance(found, list):
        raise ModelError("its parts are no list")
    parts = tuple(_read_part(each) for each in found)
    if parts and sum(part.size for part in parts) != size:
        raise ModelError("its parts do not have as many values as it has")
    return parts


def _read_part(found: Any) -> Part:
    if not isinstance(found, dict) or not isinstance(found.get("weight"), str):
        raise ModelError("a part has no name")
    channels, steps, kind = found.get("channels"), found.get("steps", []), found.get("kind", "")
    if not is_shape(found.get("shape")) or type(channels) is not int or channels < 0:
        raise ModelError(f"{shown(found['weight'])}: no shape or no channels")
    if not isinstance(kind, str):
        raise ModelError(f"{shown(found['weight'])}: {shown(kind)} is no kind")
    if not isinstance(steps, list) or len(steps) > _MOST_STEPS:
        raise ModelError(f"{shown(found['weight'])}: its steps are no list")
    for step in steps:
        if not (isinstance(step, list) and len(step) == 2 and step[0] in _WORDS):
            raise ModelError(f"{shown(found['weight'])}: {shown(step)} is no step")
        if not is_shape(step[1], deepest=1 << 16):
            raise ModelError(f"{shown(found['weight'])}: {shown(step)} has no such argument")
    return Part(
        found["weight"],
        tuple(found["shape"]),
        channels,
        tuple((word, tuple(argument)) for word, argument in steps),
        kind,
    )


def is_shape(found: Any, deepest: int = _DEEPEST) -> bool:
    """Return whether a value of JSON is a list of counts, and no array is too large for it."""
    if not isinstance(found, list) or len(found) > deepest:
        return False
    return all(type(each) is int and 0 <= each < 1 << 63 for each in found)


def write_part(part: Part) -> dict[str, Any]:
    """Return a part as the manifest holds it."""
    return {
        "weight": part.weight,
        "kind": part.kind,
        "shape": list(part.shape),
        "channels": part.channels,
        "steps": [[word, list(argument)] for word, argument in part.steps],
    }
