"""What the commands print: tables or JSON to stdout, progress to stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from secateur.tables import Column, Table, View, for_stdout, printable

Advance = Callable[[int], None]
_LONGEST_TASK = 200


def show(view: View) -> None:
    """Print tables and lines: rich's tables on a terminal, aligned text in a pipe."""
    typer.echo(for_stdout(view))


def show_json(value: Any) -> None:
    """Print plain values as JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        text = json.dumps(value, indent=2)
    typer.echo(text)


def table(columns: Sequence[Column], rows: Sequence[Sequence[Any]], total: bool = False) -> Table:
    """Return a table; None is shown as a dash.

    Args:
        columns: Its columns.
        rows: Its rows, a value for each column.
        total: Whether the last row sums up the others.

    """
    cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    return Table(tuple(columns), cells, total)


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Advance]:
    """Show a bar while something runs, on a terminal only; without a total, that it runs.

    Yields the function that advances it.
    """
    with _bar(what, total, [BarColumn(), TimeRemainingColumn()]) as advance:
        yield advance


@contextmanager
def transfer(what: str, total: int, shown: bool = True) -> Iterator[Advance]:
    """Show a bar of bytes, with their rate and the time that is left, on a terminal only."""
    columns = [BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()]
    with _bar(what, total, columns, shown) as advance:
        yield advance


@contextmanager
def _bar(
    what: str, total: int | None, columns: Sequence[ProgressColumn], shown: bool = True
) -> Iterator[Advance]:
    console = Console(stderr=True)
    if not (shown and console.is_terminal):  # a bar that is disabled ends its line in older rich
        yield lambda amount: None
        return
    name = TextColumn("{task.description}", markup=False)
    bar = Progress(SpinnerColumn(), name, *columns, console=console, transient=True)
    with bar:
        task = bar.add_task(printable(what, _LONGEST_TASK), total=total)
        yield lambda amount: bar.update(task, advance=amount)
