"""A table that fits a width."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from secateur.tables.cells import shortened, width_of
from secateur.tables.view import Column, Table

GAP = 2
"""The space between two columns."""
_NARROWEST = 8
"""How narrow a long column may get in the end."""


@dataclass(frozen=True)
class Fitted:
    """A table as it is shown.

    Attributes:
        columns: The columns that there is room for.
        widths: The width of each.
        rows: The rows, each cell as its lines.
        dropped: The names of the columns that there is no room for.

    """

    columns: tuple[Column, ...]
    widths: tuple[int, ...]
    rows: tuple[tuple[tuple[str, ...], ...], ...]
    dropped: tuple[str, ...]


def fitted(table: Table, width: int) -> Fitted:
    """Return a table that fits a width, if it can be made to."""
    widths = [
        max(width_of(column.head), *(width_of(row[number]) for row in table.rows), 0)
        for number, column in enumerate(table.columns)
    ]
    shown, dropped = _columns_with_room(table.columns, widths, width)
    columns = tuple(table.columns[number] for number in shown)
    final = _shrunk([widths[number] for number in shown], columns, width)
    cells = [
        _cells([row[number] for row in table.rows], column, each)
        for number, column, each in zip(shown, columns, final, strict=True)
    ]
    rows = tuple(zip(*cells, strict=True))
    return Fitted(columns, tuple(final), rows, tuple(table.columns[d].head for d in dropped))


def _columns_with_room(
    columns: Sequence[Column], widths: Sequence[int], width: int
) -> tuple[list[int], list[int]]:
    shown, dropped = list(range(len(columns))), []
    least = [
        full if column.long == "whole" else min(full, max(column.least, width_of(column.head)))
        for column, full in zip(columns, widths, strict=True)
    ]
    while sum(least[n] for n in shown) + GAP * (len(shown) - 1) > width:
        number = max(shown, key=lambda n: columns[n].drop)
        if not columns[number].drop:
            break
        shown.remove(number)
        dropped.append(number)
    return shown, sorted(dropped)


def _shrunk(widths: list[int], columns: Sequence[Column], width: int) -> list[int]:
    """Return widths that fit: the column that is furthest above its least width gives first."""
    over = sum(widths) + GAP * (len(widths) - 1) - width
    floors = [max(_NARROWEST, width_of(column.head)) for column in columns]
    while over > 0:
        elastic = [
            n
            for n, column in enumerate(columns)
            if column.long != "whole" and widths[n] > floors[n]
        ]
        if not elastic:
            break
        widths[max(elastic, key=lambda n: widths[n] - columns[n].least)] -= 1
        over -= 1
    return widths


def _cells(texts: Sequence[str], column: Column, width: int) -> list[tuple[str, ...]]:
    if column.long == "wrap":
        return [tuple(textwrap.wrap(text, width, break_on_hyphens=False) or [""]) for text in texts]
    if column.long == "shorten":
        return [(text,) for text in shortened(texts, width)]
    return [(text,) for text in texts]
