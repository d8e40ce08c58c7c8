"""Tables of one row for each weight: its shape, how much of it is kept, its sparsity."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from secateur import Exporter, ExportSource, write_atomically
from secateur.layout import Array

HEAD = ("weight", "shape", "size", "kept", "sparsity")


def entries(
    weights: Mapping[str, Array], masks: Mapping[str, Array]
) -> Iterator[tuple[str, str, int, int, str]]:
    """Yield an entry for each weight, and one for all; a weight without a mask is kept whole.

    Args:
        weights: The weights by name, canonical.
        masks: The masks by name, True = kept.

    Example:
        >>> mask = np.array([[True, False]])
        >>> list(entries({"fc": np.ones((1, 2))}, {"fc": mask}))
        [('fc', '1x2', 2, 1, '0.5000'), ('all', '', 2, 1, '0.5000')]

    """
    total = total_kept = 0
    for name, weight in weights.items():
        kept = int(np.count_nonzero(masks[name])) if name in masks else weight.size
        yield (
            name,
            "x".join(map(str, weight.shape)),
            weight.size,
            kept,
            _format_sparsity(kept, weight.size),
        )
        total, total_kept = total + weight.size, total_kept + kept
    yield "all", "", total, total_kept, _format_sparsity(total_kept, total)


def _format_sparsity(kept: int, size: int) -> str:
    return f"{1 - kept / size if size else 0:.4f}"


class CsvTable(Exporter):
    """An exporter of a table for spreadsheets, by the name ``csv``.

    Example:
        >>> import secateur, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = secateur.export({"fc": np.eye(2)}, f"{folder}/weights.csv", to="csv")
        ...     print(Path(folder, "weights.csv").read_text().splitlines()[1])
        fc,2x2,4,2,0.5000

    """

    kind = "csv"

    def export(self, source: ExportSource, path: Path) -> None:
        text = io.StringIO()
        csv.writer(text).writerows([HEAD, *entries(source.weights, source.masks)])
        write_atomically(path, text.getvalue().encode())


class MarkdownTable(Exporter):
    """An exporter of a table for a README or a model card, by the name ``markdown``.

    Example:
        >>> import secateur, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = secateur.export({"fc": np.eye(2)}, f"{folder}/weights.md", to="markdown")
        ...     print(Path(folder, "weights.md").read_text().splitlines()[2])
        | fc | 2x2 | 4 | 2 | 0.5000 |

    """

    kind = "markdown"

    def export(self, source: ExportSource, path: Path) -> None:
        lines = [
            HEAD,
            ("---", "---", "---:", "---:", "---:"),
            *entries(source.weights, source.masks),
        ]
        text = "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)
        write_atomically(path, text.encode())


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|")
