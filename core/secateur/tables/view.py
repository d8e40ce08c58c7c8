"""What is printed, before it is known where: tables, lists of lines, paragraphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        head: Its name.
        right: Whether its cells are set to the right, as numbers are.
        long: What happens to long cells where there is no room: they are shortened in the
            middle, wrapped to several lines, or stay whole.
        least: How narrow a long column gets before others leave or shrink, too.
        drop: Columns with the largest number leave first where there is no room; 0 stays.

    """

    head: str
    right: bool = False
    long: Literal["whole", "shorten", "wrap"] = "whole"
    least: int = 24
    drop: int = 0


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: Its columns.
        rows: Its rows, a text for each column.
        total: Whether the last row sums up the others.

    """

    columns: tuple[Column, ...]
    rows: Sequence[Sequence[str]]
    total: bool = False


@dataclass(frozen=True)
class Lines:
    """A list under a heading.

    Attributes:
        head: The heading.
        lines: The lines; long ones are wrapped.
        hang: Whether what is wrapped is indented further.

    """

    head: str
    lines: Sequence[str]
    hang: bool = True


@dataclass(frozen=True)
class Paragraph:
    """Lines of text that are wrapped where they are long.

    Attributes:
        lines: The lines.
        tone: How it is meant: as such, as a note to be heeded, or as the result.

    """

    lines: Sequence[str]
    tone: Literal["plain", "note", "result"] = "plain"


View = Sequence[Table | Lines | Paragraph]
"""What is printed as one, its parts in order."""
