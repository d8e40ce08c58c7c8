"""A view with rich's tables and styles; rich is imported here only, when a terminal shows it."""

from __future__ import annotations

import io

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from secateur.tables.fit import GAP, Fitted, fitted
from secateur.tables.text import dropped_line, part_as_text, with_printable_cells
from secateur.tables.view import Lines, Paragraph, Table, View

_TONES = {"plain": "", "note": "yellow", "result": "bold"}


def for_terminal(view: View, width: int) -> str:
    """Return a view with the escape codes of the terminal that stdout is."""
    console = Console(
        file=io.StringIO(), force_terminal=True, width=width, legacy_windows=False, highlight=False
    )
    with console.capture() as captured:
        for number, part in enumerate(view):
            if number:
                console.print()
            if isinstance(part, Table):
                _print_table(console, part, width)
            else:
                _print_lines(console, part, width)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _print_table(console: Console, table: Table, width: int) -> None:
    shown = fitted(with_printable_cells(table), width)
    rich_table = RichTable(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, GAP - 1, 0, 0),
        border_style="dim",
    )
    _add_columns(rich_table, shown)
    for number, row in enumerate(shown.rows, 1):
        is_total = table.total and number == len(shown.rows)
        cells = [Text("\n".join(lines)) for lines in row]
        rich_table.add_row(*cells, style="bold" if is_total else "")
        if table.total and number == len(shown.rows) - 1:
            rich_table.add_section()
    console.print(rich_table, no_wrap=True, crop=False)
    if shown.dropped:
        console.print(Text(dropped_line(shown.dropped, width), "dim"))


def _add_columns(rich_table: RichTable, shown: Fitted) -> None:
    for column, width in zip(shown.columns, shown.widths, strict=True):
        rich_table.add_column(
            Text(column.head),
            justify="right" if column.right else "left",
            style="cyan" if column is shown.columns[0] else "",
            min_width=width,
            max_width=width,
            no_wrap=True,
        )


def _print_lines(console: Console, part: Lines | Paragraph, width: int) -> None:
    styles = iter(["bold"]) if isinstance(part, Lines) else iter([])
    usual = _TONES[part.tone] if isinstance(part, Paragraph) else ""
    for line in part_as_text(part, width):
        console.print(Text(line, next(styles, usual)), soft_wrap=True)
