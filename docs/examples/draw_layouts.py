"""Draw the pictures of docs/explanation/same-masks.md: how one weight lies in each framework.

python docs/examples/draw_layouts.py
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from secateur import write_atomically

CELL, GAP, TOP = 34, 70, 54
OUTPUT = Path(__file__).parents[1] / "explanation"
COLOURS = ("#d9e8f6", "#fbe3c8", "#dcefd9", "#f3d9e4")

Number = Callable[[int, int], int]
Colour = Callable[[int, int], int]


def grid(
    left: int, title: str, axes: tuple[str, str], shape: tuple[int, int], n: Number, c: Colour
) -> str:
    """Return one matrix: cells numbered by canonical index, coloured by group."""
    rows, columns = shape
    parts = [
        f'<text x="{left}" y="18" class="title">{title}</text>',
        f'<text x="{left}" y="38">{axes[1]} &#8594;</text>',
        f'<text x="{left - 8}" y="{TOP + 12}" text-anchor="end">{axes[0]} &#8595;</text>',
    ]
    for row in range(rows):
        for column in range(columns):
            x, y = left + column * CELL, TOP + row * CELL
            parts.append(
                f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" '
                f'fill="{COLOURS[c(row, column)]}"/>'
                f'<text x="{x + CELL / 2}" y="{y + 22}" text-anchor="middle">'
                f"{n(row, column)}</text>"
            )
    return "\n".join(parts)


def svg(width: int, height: int, parts: list[str]) -> bytes:
    """Return a whole picture."""
    style = (
        "text{font:13px sans-serif;fill:#222}.title{font-weight:bold}"
        "rect{stroke:#555;stroke-width:1}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}"><rect width="100%" height="100%" '
        f'style="fill:#fff;stroke:none"/><style>{style}</style>\n' + "\n".join(parts) + "\n</svg>\n"
    ).encode()


def dense() -> bytes:
    """A dense weight, 4 out and 6 in, in blocks of 2x3."""

    def canonical(row: int, column: int) -> int:
        return row * 6 + column

    def block(row: int, column: int) -> int:
        return row // 2 * 2 + column // 3

    right = GAP + 6 * CELL + 2 * GAP
    return svg(
        right + 4 * CELL + GAP,
        TOP + 6 * CELL + 20,
        [
            grid(
                GAP, "PyTorch Linear = canonical (out, in)", ("out", "in"), (4, 6), canonical, block
            ),
            grid(
                right,
                "Keras Dense (in, out)",
                ("in", "out"),
                (6, 4),
                lambda row, column: canonical(column, row),
                lambda row, column: block(column, row),
            ),
        ],
    )


def gru() -> bytes:
    """The gates of a GRU, 2 out and 2 in each."""
    names = "r", "z", "n"

    def canonical(gate: int, out: int, into: int) -> int:
        return gate * 4 + out * 2 + into

    parts = []
    for gate, name in enumerate(names):
        left = GAP + gate * (2 * CELL + 40)
        parts.append(
            grid(
                left,
                f"gate {name}",
                ("out", "in"),
                (2, 2),
                lambda row, column, gate=gate: canonical(gate, row, column),
                lambda row, column, gate=gate: gate,
            )
        )
    order = (1, 0, 2)  # Keras stores z, r and h, which it calls n
    right = GAP + 3 * (2 * CELL + 40) + 60
    parts.append(
        grid(
            right,
            "Keras kernel (in, gate*out): z, r, h",
            ("in", "gate*out"),
            (2, 6),
            lambda row, column: canonical(order[column // 2], column % 2, row),
            lambda row, column: order[column // 2],
        )
    )
    return svg(right + 8 * CELL, TOP + 2 * CELL + 20, parts)


def main() -> None:
    """Write both pictures."""
    for name, picture in (("layout-dense.svg", dense()), ("layout-gru.svg", gru())):
        write_atomically(OUTPUT / name, picture)
        print(OUTPUT / name)


if __name__ == "__main__":
    main()
