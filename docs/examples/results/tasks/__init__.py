"""The tasks: each is a module with the runs of its tables, and a function that makes one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from records import Line, Outcome, Run

NAMES = (
    "mnist",
    "fashion",
    "speech",
    "criteria",
    "starts",
    "ready",
    "full_size",
    "translation",
    "pretrained",
)


@dataclass(frozen=True)
class Task:
    """What one page of the results is made of.

    Attributes:
        title: What it is, for people.
        runs: Returns all runs, the most telling first, or the quick ones.
        make: Makes one run, and saves what came of it in a folder.
        page: Returns the Markdown of its page, below the title, from its lines.
        headline: The rows that stand on the first page of the results; there may be none.
        pictures: Draws the pictures of its page into a folder.
        elsewhere: Returns the text of other pages that show its lines, by path.

    """

    title: str
    runs: Callable[[bool], Iterable[Run]]
    make: Callable[[Run, Path], Outcome]
    page: Callable[[Sequence[Line]], str]
    headline: tuple[str, ...]
    pictures: Callable[[Sequence[Line], Path], None] | None = None
    elsewhere: Callable[[Sequence[Line]], Mapping[Path, str]] = lambda lines: {}


def load(name: str) -> Task:
    """Return a task."""
    module: Any = import_module(f"tasks.{name}")
    return module.TASK
