"""A view as Markdown, for a comment or a page."""

from __future__ import annotations

import re
from collections.abc import Iterator

from secateur.tables.cells import printable
from secateur.tables.view import Lines, Paragraph, Table, View

_MOST_ROWS = 100
"""How many rows of a table are shown: a comment of a review has a limit."""
_LONGEST = 300
_SPECIAL = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#&"})


def as_markdown(view: View) -> str:
    r"""Return a view as Markdown: tables of GitHub's kind, lists and paragraphs.

    >>> from secateur.tables.view import Column
    >>> print(as_markdown([Table((Column("a"), Column("n", right=True)), [("x|y", "1")])]))
    | a | n |
    | --- | ---: |
    | x\|y | 1 |
    """
    return "\n\n".join("\n".join(_part(part)) for part in view)


def escaped(text: str) -> str:
    r"""Return a text in which nothing means anything to Markdown.

    >>> escaped("[x](y)")
    '\\[x\\](y)'
    """
    return printable(text, _LONGEST).translate(_SPECIAL)


def code(text: str) -> str:
    """Return a text as code within a line.

    >>> code("a|b"), code("`")
    ('`a|b`', '`` ` ``')
    """
    shown = printable(text, _LONGEST)
    runs = [len(run) for run in re.findall("`+", shown)]
    if not runs:
        return f"`{shown}`"
    fence = "`" * (max(runs) + 1)
    return f"{fence} {shown} {fence}"


def cell(text: str) -> str:
    """Return Markdown for a cell of a table, where a bar would end it."""
    return text.replace("|", "\\|")


def _part(part: Table | Lines | Paragraph) -> Iterator[str]:
    if isinstance(part, Lines):
        yield escaped(part.head)
        yield ""
        yield from (f"- {escaped(line)}" for line in part.lines)
    elif isinstance(part, Paragraph):
        yield "  \n".join(escaped(line) for line in part.lines)
    else:
        yield _row([escaped(column.head) for column in part.columns])
        yield _row(["---:" if column.right else "---" for column in part.columns])
        for row in part.rows[:_MOST_ROWS]:
            yield _row([escaped(cell) for cell in row])
        if len(part.rows) > _MOST_ROWS:
            yield ""
            yield f"and {len(part.rows) - _MOST_ROWS:,} more rows"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
