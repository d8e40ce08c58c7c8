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
_LONGEST_CELL = 200
_LONGEST_LINE = 2000


def printable(text: str, most: int) -> str:
    r"""Return one line of a text that a terminal can show, shortened in its middle.

    Names in files may hold anything: control characters, which a terminal would obey, halves of
    surrogate pairs, which cannot be encoded, and megabytes.

    >>> printable("fc\x1b[31m:kernel", 40), printable("a" * 50, 20)
    ('fc\\x1b[31m:kernel', 'aaaaaaaa ... aaaaaaa')
    """
    if len(text) > most:
        kept = most - len(" ... ")
        text = f"{text[: kept - kept // 2]} ... {text[len(text) - kept // 2 :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show_text(text: str) -> None:
    """Print lines of text."""
    lines = (printable(line, _LONGEST_LINE) for line in text.split("\n"))
    typer.echo("\n".join(lines))


def show_json(value: Any) -> None:
    """Print plain values as JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        text = json.dumps(value, indent=2)
    typer.echo(text)


def show_table(
    head: Sequence[str], rows: Sequence[Sequence[Any]], right: Collection[int] = ()
) -> None:
    """Print a table; None is shown as a dash."""
    cells = [
        ["-" if cell is None else printable(str(cell), _LONGEST_CELL) for cell in row]
        for row in rows
    ]
    typer.echo(render(head, cells, right))


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Advance]:
    """Show a bar while something runs, on a terminal only; without a total, that it runs.

    Yields the function that advances it.
    """
    console = Console(stderr=True)
    shown = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), shown, BarColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task(printable(what, _LONGEST_CELL), total=total)
        yield lambda amount: bar.update(task, advance=amount)
