"""How large a model is: as it is, compressed, and at the bound of its entropy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from secateur.adapter import StateTensor
from secateur.layout import Array
from secateur.packing.compression import measures
from secateur.packing.entropy import entropy_bound
from secateur.tables import Column, Paragraph, Printed, Table, View

REST = "everything else"
"""What the row of biases, statistics and layers left dense is called."""


@dataclass(frozen=True)
class WeightSizes:
    """How many bytes one weight takes.

    Attributes:
        name: Its name, as in a plan.
        raw: Its bytes as they are.
        compressed: Its bytes after each general compressor, by the name of the compressor.
        entropy: The entropy of its mask and its kept values.

    Example:
        >>> import numpy as np, secateur
        >>> row = secateur.sizes({"fc": np.zeros((100, 100))}).weights[0]
        >>> row.name, row.raw, row.entropy, row.compressed["xz"] < 200
        ('fc', 80000, 0, True)

    """

    name: str
    raw: int
    compressed: dict[str, int]
    entropy: int


@dataclass(frozen=True)
class Sizes(Printed):
    """How many bytes a model takes, by weight and in all; prints as a table.

    Attributes:
        weights: Each prunable weight, and everything else in one row.
        total: All of it: of a file, the file itself; of a model, the sum of the rows.
        notes: What the figures are of, and what else a file holds.

    Example:
        >>> import numpy as np, secateur
        >>> sizes = secateur.sizes({"fc": np.zeros((100, 100)), "bias": np.ones(100)})
        >>> [row.name for row in sizes.weights], sizes.total.raw
        (['fc', 'everything else'], 80800)

    """

    weights: tuple[WeightSizes, ...]
    total: WeightSizes
    notes: tuple[str, ...] = field(default=())

    @property
    def raw(self) -> int:
        """The bytes of all of it as they are."""
        return self.total.raw

    @property
    def gzip(self) -> int:
        """The bytes of all of it after gzip."""
        return self.total.compressed["gzip"]

    @property
    def zstd(self) -> int | None:
        """The bytes of all of it after zstd; None where zstandard is not installed."""
        return self.total.compressed.get("zstd")

    @property
    def xz(self) -> int:
        """The bytes of all of it after xz."""
        return self.total.compressed["xz"]

    @property
    def entropy(self) -> int:
        """The entropy of all masks and kept values together, in bytes."""
        return self.total.entropy

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values, for JSON."""
        rows = [_plain(row) for row in self.weights]
        return {**_plain(self.total), "notes": list(self.notes), "weights": rows}

    def view(self, fold: bool = True, notes: Sequence[str] = ()) -> View:
        """Return what is printed.

        Args:
            fold: Makes no difference here.
            notes: More that the reader should know.

        """
        methods = list(self.total.compressed)
        heads = ("raw", *methods, "entropy")
        columns = [Column("weight", long="shorten"), *(Column(head, right=True) for head in heads)]
        rows = [
            [row.name, *(f"{each:,}" for each in (row.raw, *row.compressed.values(), row.entropy))]
            for row in (*self.weights, self.total)
        ]
        said = [f"note: {note}" for note in (*self.notes, *notes)]
        return [Table(tuple(columns), rows, total=True), Paragraph(said, "note")]


def _plain(row: WeightSizes) -> dict[str, Any]:
    return {"name": row.name, "raw": row.raw, **row.compressed, "entropy": row.entropy}


def measure(
    tensors: Iterable[StateTensor],
    content: bytes | None = None,
    notes: Sequence[str] = (),
) -> Sizes:
    """Return the sizes of a model's tensors.

    Args:
        tensors: The tensors.
        content: The bytes of the file that they are in; without it, all is the sum of the rows.
        notes: What else the user should know.

    """
    methods = measures()
    pieces = [*_pieces(list(tensors))]
    with ThreadPoolExecutor() as pool:
        rows = list(pool.map(lambda piece: _measured(piece[0], piece[1], methods), pieces))
        if content is None:
            total = _sum(rows, methods)
            what = "all is the sum of the rows, each compressed by itself"
        else:
            results = pool.map(lambda method: method(content), methods.values())
            compressed = dict(zip(methods, results, strict=True))
            total = WeightSizes("all", len(content), compressed, _sum(rows, methods).entropy)
            what = "all is the file itself; the entropy is that of the rows"
    return Sizes(tuple(rows), total, (what, *notes))


def _pieces(tensors: Sequence[StateTensor]) -> Iterable[tuple[str, Callable[[], list[Array]]]]:
    """Yield a name and the arrays of each row."""
    for tensor in tensors:
        for part in tensor.parts:
            rows = slice(None) if part.rows is None else slice(*part.rows)
            yield (
                part.weight,
                lambda tensor=tensor, part=part, rows=rows: [  # type: ignore[misc]
                    part.layout.to_canonical(tensor.read()[rows])
                ],
            )
    rest = [tensor for tensor in tensors if not tensor.parts]
    if rest:
        yield REST, lambda: [tensor.read() for tensor in rest]


def _measured(
    name: str, read: Callable[[], list[Array]], methods: dict[str, Callable[[bytes], int]]
) -> WeightSizes:
    arrays = [np.ascontiguousarray(array) for array in read()]
    content = b"".join(array.tobytes() for array in arrays)
    compressed = {method: length(content) for method, length in methods.items()}
    entropy = sum(entropy_bound(array) for array in arrays)
    return WeightSizes(name, len(content), compressed, entropy)


def _sum(rows: Sequence[WeightSizes], methods: Iterable[str]) -> WeightSizes:
    return WeightSizes(
        "all",
        sum(row.raw for row in rows),
        {method: sum(row.compressed[method] for row in rows) for method in methods},
        sum(row.entropy for row in rows),
    )
