"""Plain text tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def render(head: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Return an aligned table; the columns numbered in `right` are set to the right.

    >>> print(render(("weight", "size"), [("fc", "12"), ("out:kernel", "3")], right={1}))
    weight      size
    ----------  ----
    fc            12
    out:kernel     3
    """
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def format_sparsity(value: float) -> str:
    """Return a sparsity for people: a fraction from 0 to 1, never per cent.

    >>> format_sparsity(0.9)
    '0.9000'
    """
    return f"{value:.4f}"
