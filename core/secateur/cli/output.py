"""What the commands print: tables or JSON to stdout, progress to stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from secateur.tables import render

Advance = Callable[[int], None]


def show_json(value: Any) -> None:
    """Print plain values as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(
    head: Sequence[str], rows: Sequence[Sequence[Any]], right: Collection[int] = ()
) -> None:
    """Print a table; None is shown as a dash."""
    cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    typer.echo(render(head, cells, right))


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Advance]:
    """Show a bar while something runs, on a terminal only; without a total, that it runs.

    Yields the function that advances it.
    """
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn(what), BarColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda amount: bar.update(task, advance=amount)
