"""One row for each weight: its shape, how much of it is left, how sparse it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from secateur import Exporter, write_atomically
from secateur.layout import Array

HEAD = ("weight", "shape", "size", "kept", "sparsity")


def rows(
    weights: Mapping[str, Array], masks: Mapping[str, Array]
) -> Iterator[tuple[str, str, int, int, str]]:
    """Return a row for each weight, and one for all; a weight without a mask is kept whole.

    >>> mask = np.array([[True, False]])
    >>> list(rows({"fc": np.ones((1, 2))}, {"fc": mask}))
    [('fc', '1x2', 2, 1, '0.5000'), ('all', '', 2, 1, '0.5000')]
    """
    total = left = 0
    for name, weight in weights.items():
        kept = int(np.count_nonzero(masks[name])) if name in masks else weight.size
        yield name, "x".join(map(str, weight.shape)), weight.size, kept, _share(kept, weight.size)
        total, left = total + weight.size, left + kept
    yield "all", "", total, left, _share(left, total)


def _share(kept: int, size: int) -> str:
    return f"{1 - kept / size if size else 0:.4f}"


class CsvTable(Exporter):
    """A table for spreadsheets."""

    kind = "csv"

    def export(self, weights: Mapping[str, Array], masks: Mapping[str, Array], path: Path) -> None:
        text = io.StringIO()
        csv.writer(text).writerows([HEAD, *rows(weights, masks)])
        write_atomically(path, text.getvalue().encode())


class MarkdownTable(Exporter):
    """A table for a README or a model card."""

    kind = "markdown"

    def export(self, weights: Mapping[str, Array], masks: Mapping[str, Array], path: Path) -> None:
        lines = [HEAD, ("---", "---", "---:", "---:", "---:"), *rows(weights, masks)]
        text = "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)
        write_atomically(path, text.encode())


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|")
