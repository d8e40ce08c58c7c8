"""How a mask of any rank is laid flat, and where the groups of a pattern lie on it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secateur import Pattern, Policy, WeightSpec, kind_named
from secateur.errors import ModelError, shown
from secateur.layout import Array

PatternLike = Pattern | Mapping[str, Any] | str
_KIND_OF_RANK = {2: "dense", 3: "conv", 4: "conv", 5: "conv"}


@dataclass(frozen=True)
class Flat:
    """A mask as rows and columns.

    Attributes:
        kept: True = kept; two axes.
        row_edges: The rows before which a group of the pattern begins, but for the first.
        column_edges: The columns before which one begins, but for the first.
        row_label: What the rows are.
        column_label: What the columns are.

    """

    kept: Array
    row_edges: Array
    column_edges: Array
    row_label: str
    column_label: str


def lay_flat(values: object, pattern: PatternLike | None = None, kind: str | None = None) -> Flat:
    """Return a weight or its mask as rows of outputs and columns of inputs.

    Args:
        values: A mask, True = kept, or a weight, whose zeros are pruned; in canonical layout.
        pattern: The pattern, as in a policy; None draws no groups.
        kind: The kind of the weight; by default dense for two axes, and conv for more.

    Raises:
        ModelError: It is no such array, or there is no such kind.

    """
    array = as_array(values)
    if array.ndim == 1:
        array = array[None]
    if array.dtype.kind not in "bfiu" and "float" not in array.dtype.name:
        raise ModelError(f"a mask is an array of {array.dtype}, not of numbers")
    spec = _spec(array, kind)
    mask = array.astype(bool) if array.dtype.kind == "b" else array != 0
    axis = kind_named(spec.kind)
    tile = (1,) * mask.ndim if pattern is None else _tile(pattern, spec)
    rows = [*range(axis.out_axis + 1)] if axis.out_axis < axis.in_axis else [axis.out_axis]
    columns = [each for each in range(mask.ndim) if each not in rows]
    if len(columns) > 1 and tile[axis.in_axis] > 1 and axis.in_axis in columns:
        columns = [*(each for each in columns if each != axis.in_axis), axis.in_axis]
    words = _words(spec, mask.ndim)
    counts = [math.prod(mask.shape[each] for each in axes) for axes in (rows, columns)]
    return Flat(
        mask.transpose(rows + columns).reshape(counts),
        _edges(mask.shape, tile, rows),
        _edges(mask.shape, tile, columns),
        _label(words[each] for each in rows),
        _label(words[each] for each in columns),
    )


def as_array(values: Any) -> Array:
    """Return an array of values, also of a parameter of PyTorch, on any device.

    >>> as_array([[1, 0]]).shape
    (1, 2)
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu().double()
    return np.asarray(values)


def described(pattern: PatternLike | None) -> str:
    """Return a pattern in words, such as ``blocks of 1 x 2``.

    >>> described({"kind": "block", "in": 2}), described({"kind": "n_m", "keep": 2, "of": 4})
    ('blocks of 1 x 2', '2 of 4')
    """
    table = parsed(pattern or "unstructured").to_dict()
    kind = str(table["kind"])
    words = {
        "unstructured": "single weights",
        "block": f"blocks of {table.get('out')} x {table.get('in')}",
        "n_m": f"{table.get('keep')} of {table.get('of')}",
        "channel": f"channels, {table.get('axis')}",
    }
    return words.get(kind, kind.replace("_", " "))


def parsed(pattern: PatternLike) -> Pattern:
    """Return a pattern as a policy would have it.

    Raises:
        PolicyError: There is no such pattern.

    """
    if isinstance(pattern, Pattern):
        return pattern
    table = pattern if isinstance(pattern, str) else dict(pattern)
    schedule = {"kind": "one_shot", "final_sparsity": 0.5}
    return Policy.parse({"schedule": schedule, "pattern": table}).pattern


def _spec(array: Array, kind: str | None) -> WeightSpec:
    chosen = kind or _KIND_OF_RANK.get(array.ndim)
    try:
        ranks = kind_named(str(chosen)).ranks
    except KeyError:
        raise ModelError(
            f"an array of shape {array.shape}: no kind {shown(chosen)}; pass kind="
        ) from None
    if array.ndim not in ranks:
        raise ModelError(f"a {chosen} weight has {ranks} axes, not the shape {array.shape}")
    return WeightSpec("mask", str(chosen), "kernel", array.shape, array.dtype.name, "mask")


def _tile(pattern: PatternLike, spec: WeightSpec) -> tuple[int, ...]:
    try:
        extent = parsed(pattern).extent(spec)
    except NotImplementedError:
        return spec.shape  # its groups are no tiles
    pairs = zip(extent, spec.shape, strict=True)
    return tuple(max(length, 1) if reach is None else reach for reach, length in pairs)


def _words(spec: WeightSpec, rank: int) -> list[str]:
    kind = kind_named(spec.kind)
    first = {"rnn": "gate", "expert": "expert", "embedding": "row"}.get(spec.kind, "axis")
    words = [first if each < kind.out_axis else "position" for each in range(rank)]
    words[kind.out_axis] = "row" if spec.kind == "embedding" else "out"
    words[kind.in_axis] = "feature" if spec.kind == "embedding" else "in"
    return words


def _label(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))


def _edges(shape: Sequence[int], tile: Sequence[int], axes: Sequence[int]) -> Array:
    """Return where, along flattened axes, the next tile begins; nowhere for single weights."""
    lengths = [shape[axis] for axis in axes]
    if 0 in lengths or all(reach == 1 for reach in tile):
        return np.zeros(0, np.int64)
    numbers = np.zeros(lengths, np.int64)
    for place, axis in enumerate(axes):
        along = np.arange(shape[axis]) // tile[axis]
        grown = numbers * (int(along[-1]) + 1)
        numbers = grown + along.reshape([-1 if each == place else 1 for each in range(len(axes))])
    return np.flatnonzero(np.diff(numbers.reshape(-1))) + 1
