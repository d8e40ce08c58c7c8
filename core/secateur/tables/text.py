"""A view as aligned text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from secateur.tables.cells import padded, printable
from secateur.tables.fit import GAP, fitted
from secateur.tables.view import Lines, Paragraph, Table, View

_LONGEST_CELL = 200
_LONGEST_LINE = 2000


def as_text(view: View, width: int) -> str:
    """Return a view as aligned text.

    >>> from secateur.tables.view import Column, Table
    >>> columns = (Column("weight"), Column("size", right=True))
    >>> print(as_text([Table(columns, [("fc", "12"), ("out:kernel", "3")])], 80))
    weight      size
    ----------  ----
    fc            12
    out:kernel     3
    """
    return "\n\n".join("\n".join(part_as_text(part, width)) for part in view)


def part_as_text(part: Table | Lines | Paragraph, width: int) -> Iterator[str]:
    """Yield the lines of a part of a view."""
    if isinstance(part, Table):
        yield from _table(part, width)
    elif isinstance(part, Lines):
        yield from wrapped(part.head, width, "", "  ")
        later = "    " if part.hang else "  "
        for line in part.lines:
            yield from wrapped(line, width, "  ", later)
    else:
        for line in part.lines:
            yield from wrapped(line, width, "", "  ")


def wrapped(line: str, width: int, first: str, later: str) -> list[str]:
    """Return a line as lines that fit a width."""
    return textwrap.wrap(
        printable(line, _LONGEST_LINE),
        width,
        initial_indent=first,
        subsequent_indent=later,
        break_on_hyphens=False,
    )


def with_printable_cells(table: Table) -> Table:
    """Return a table whose cells can be shown on any terminal."""
    most = [_LONGEST_LINE if c.long == "wrap" else _LONGEST_CELL for c in table.columns]
    rows = [
        [printable(cell, each) for cell, each in zip(row, most, strict=True)] for row in table.rows
    ]
    return Table(table.columns, rows, table.total)


def dropped_line(heads: Sequence[str], width: int) -> str:
    """Return the line that says which columns are not shown."""
    return f"(no room for {', '.join(heads)} in {width} columns)"


def _table(table: Table, width: int) -> Iterator[str]:
    shown = fitted(with_printable_cells(table), width)
    head = [column.head for column in shown.columns]
    rules = ["-" * each for each in shown.widths]
    rows = [line for row in shown.rows for line in zip_longest(*row, fillvalue="")]
    for cells in (head, rules, *rows):
        yield (
            (" " * GAP)
            .join(
                padded(cell, each, column.right)
                for cell, each, column in zip(cells, shown.widths, shown.columns, strict=True)
            )
            .rstrip()
        )
    if shown.dropped:
        yield dropped_line(shown.dropped, width)
