"""Whether weights that were zero are zero still, after quantization for example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secateur.adapter import StatePart, StateTensor
from secateur.errors import ModelError, listed
from secateur.layout import Array
from secateur.shipping.names import are_renumbered
from secateur.shipping.sources import Source, open_source
from secateur.tables import Column, Paragraph, Printed, Table, View, format_sparsity

_MOST_NAMES = 8
_COLUMNS = (
    Column("weight", long="shorten"),
    *(Column(head, right=True) for head in ("size", "zeros before", "zeros after", "lost")),
    Column("sparsity", right=True),
)


@dataclass(frozen=True)
class ZeroCount:
    """The zeros of one weight before and after.

    Attributes:
        name: Its name, as in a plan.
        size: The number of its elements.
        before: How many were zero.
        after: How many are zero now.
        lost: How many were zero and are not now.

    Example:
        >>> ZeroCount("fc", size=10, before=9, after=8, lost=1).sparsity
        0.8

    """

    name: str
    size: int
    before: int
    after: int
    lost: int

    @property
    def sparsity(self) -> float:
        """The fraction that is zero now."""
        return self.after / self.size if self.size else 0.0


@dataclass(frozen=True)
class ZeroCheck(Printed):
    """The zeros of all weights before and after; prints as a table.

    Attributes:
        weights: Each weight that is prunable in the model before.

    Example:
        >>> import numpy as np, secateur
        >>> check = secateur.quantize_check({"fc": np.eye(2)}, {"fc": np.eye(2) * 0.9})
        >>> check.ok, check.weights[0].before
        (True, 2)

    """

    weights: tuple[ZeroCount, ...]

    @property
    def ok(self) -> bool:
        """Whether all that was zero is zero still."""
        return not any(weight.lost for weight in self.weights)

    def check(self) -> None:
        """Raise an error unless all that was zero is zero still.

        Raises:
            ModelError: Zeros were lost.

        """
        if not self.ok:
            lost = [f"{w.name} lost {w.lost:,} of {w.before:,}" for w in self.weights if w.lost]
            raise ModelError(f"zeros were lost: {listed(lost, _MOST_NAMES)}")

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values, for JSON."""
        return {"ok": self.ok, "weights": [vars(weight) for weight in self.weights]}

    def view(self, fold: bool = True, notes: Sequence[str] = ()) -> View:
        """Return what is printed.

        Args:
            fold: Makes no difference here.
            notes: More that the reader should know.

        """
        rows = [
            (
                weight.name,
                *(f"{n:,}" for n in (weight.size, weight.before, weight.after, weight.lost)),
                format_sparsity(weight.sparsity),
            )
            for weight in self.weights
        ]
        done = "every zero is kept" if self.ok else "zeros were lost"
        return [Table(_COLUMNS, rows), Paragraph([done, *notes], "result")]


def quantize_check(before: Any, after: Any) -> ZeroCheck:
    """Compare the zeros of two models weight by weight, such as before and after quantization.

    A weight is found again by its name, whatever its dtype is now. A zero is a stored
    zero: of a file with zero points, `secateur.export` checks the zeros as it writes the file.

    Args:
        before: A model that `plan` takes, or the path of a model's file.
        after: Another one.

    Returns:
        The zeros of each weight, before and after.

    Raises:
        ModelError: A model cannot be read, or lacks a weight of the other's shape.
        OSError: A file cannot be read.

    Example:
        >>> import numpy as np
        >>> check = quantize_check({"fc": np.eye(2)}, {"fc": np.ones((2, 2))})
        >>> check.ok, check.weights[0].lost
        (False, 2)

    """
    first, second = open_source(before), open_source(after)
    named = _by_name(first, second)
    found = [
        count
        for tensor in first.tensors
        if tensor.parts
        for count in _counts(tensor, named.get(tensor.name), second)
    ]
    if not found:
        raise ModelError(f"{first} has no prunable weight whose zeros could be counted")
    return ZeroCheck(tuple(found))


def _by_name(first: Source, second: Source) -> dict[str, StateTensor]:
    """Return the tensor of the second model for each name of the first one, where there is one."""
    names = [tensor.name for tensor in first.tensors]
    others = [tensor.name for tensor in second.tensors]
    if first.adapter == second.adapter and are_renumbered(names, others):
        return dict(zip(names, second.tensors, strict=True))
    known = {name: each for each in second.tensors for name in (each.name, *each.aliases)}
    return {
        tensor.name: known[name]
        for tensor in first.tensors
        for name in (*tensor.aliases, tensor.name)
        if name in known
    }


def _counts(tensor: StateTensor, named: StateTensor | None, other: Source) -> list[ZeroCount]:
    if named is not None and named.shape == tensor.shape:
        now = named.read()
        return [_count(part, _part(part, tensor), _of(part, now)) for part in tensor.parts]
    counts = []
    for part in tensor.parts:
        wanted = _part(part, tensor)
        again = next((p for each in other.tensors for p in _weights(each, part.weight)), None)
        if again is None or again.shape != wanted.shape:
            shape = "nothing of its name" if again is None else f"{again.shape}"
            raise ModelError(
                f"{part.weight} is {wanted.shape} in the model before, and the model after has "
                f"{shape}, so that its zeros cannot be compared"
            )
        counts.append(_count(part, wanted, again))
    return counts


def _weights(tensor: StateTensor, name: str) -> Sequence[Array]:
    return [_part(part, tensor) for part in tensor.parts if part.weight == name]


def _part(part: StatePart, tensor: StateTensor) -> Array:
    return _of(part, tensor.read())


def _of(part: StatePart, array: Array) -> Array:
    rows = slice(None) if part.rows is None else slice(*part.rows)
    return part.layout.to_canonical(array[rows])


def _count(part: StatePart, before: Array, after: Array) -> ZeroCount:
    was, now = before == 0, after == 0
    counts = [int(np.count_nonzero(each)) for each in (was, now, was & ~now)]
    return ZeroCount(part.weight, before.size, *counts)
