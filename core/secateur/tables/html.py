"""A view as a piece of HTML for a notebook: escaped, no script, no colour of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from secateur.tables.cells import printable
from secateur.tables.text import with_printable_cells
from secateur.tables.view import Lines, Paragraph, Table, View

_MOST_ROWS = 60
"""How many rows of a table are shown; a notebook keeps all that it shows."""
_LONGEST_LINE = 2000
_RULE = "border-bottom:1px solid currentColor;"
_TABLE = (
    "border-collapse:collapse;margin:.8em 0;font-size:inherit;font-variant-numeric:tabular-nums"
)
_TOTAL = "border-top:1px solid currentColor;font-weight:bold"
_TONES = {"plain": "", "note": "font-style:italic", "result": "font-weight:bold"}


def as_html(view: View, label: str) -> str:
    """Return a view as HTML.

    It takes the colours of the notebook, light or dark.

    Args:
        view: The view.
        label: What it is, for a screen reader.

    """
    parts = "".join("".join(_part(part)) for part in view)
    return f'<div role="group" aria-label="{_escaped(label)}">{parts}</div>'


def _part(part: Table | Lines | Paragraph) -> Iterator[str]:
    if isinstance(part, Table):
        yield from _table(with_printable_cells(part))
    elif isinstance(part, Lines):
        items = "".join(f"<li>{_escaped(line)}</li>" for line in part.lines)
        yield f"<details><summary>{_escaped(part.head)}</summary><ul>{items}</ul></details>"
    else:
        text = "<br>".join(map(_escaped, part.lines))
        yield f'<p style="{_TONES[part.tone]}">{text}</p>'


def _table(table: Table) -> Iterator[str]:
    yield f'<table style="{_TABLE}">'
    yield f'<thead><tr style="{_RULE}">'
    for column in table.columns:
        yield f'<th scope="col" style="{_aligned(column.right)}">{_escaped(column.head)}</th>'
    yield "</tr></thead><tbody>"
    rows = list(_some(table.rows))
    for number, row in enumerate(rows, 1):
        is_total = table.total and number == len(rows)
        yield f'<tr style="{_TOTAL}">' if is_total else "<tr>"
        for cell, column in zip(row, table.columns, strict=True):
            yield f'<td style="{_aligned(column.right)}">{_escaped(cell)}</td>'
        yield "</tr>"
    yield "</tbody></table>"


def _some(rows: Sequence[Sequence[str]]) -> Iterator[Sequence[str]]:
    """Yield the rows that are shown: of a long table the beginning and the end."""
    left_out = len(rows) - _MOST_ROWS
    if left_out <= 0:
        yield from rows
        return
    half = _MOST_ROWS // 2
    yield from rows[:half]
    yield [f"... {left_out:,} more ...", *[""] * (len(rows[0]) - 1)]
    yield from rows[-half:]


def _aligned(right: bool) -> str:
    return f"text-align:{'right' if right else 'left'};padding:.1em 1em .1em 0"


def _escaped(text: str) -> str:
    return escape(printable(text, _LONGEST_LINE))
