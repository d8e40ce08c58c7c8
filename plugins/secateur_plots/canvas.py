"""Figures and colours."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)
"""Of Okabe and Ito, whose colours differ for colour-blind readers, and in lightness."""
SERIES = (BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY)
DASHES = ("-", "--", "-.", ":")
MARKERS = "os^Dv"
GRID = "#D55E00"
INK, FAINT = "#222222", "#8a8a8a"


class Picture(Figure):
    """A figure that pyplot does not know, so that it need not be closed; a notebook shows it."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=100)
        return content.getvalue()


def axes(ax: Axes | None, width: float, height: float) -> tuple[Any, Axes]:
    """Return the figure of an Axes, and the Axes; new ones for None.

    Args:
        ax: What the user passed.
        width: The width of a new figure, in inches.
        height: Its height.

    """
    if ax is not None:
        return ax.figure, ax
    figure = picture(width, height)
    return figure, figure.add_subplot()


def picture(width: float, height: float) -> Picture:
    """Return a new figure."""
    figure = Picture(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain(text: str) -> str:
    r"""Return a text as matplotlib shows it, which would take what stands between $ for math.

    >>> print(plain("a$b$"))
    a\$b\$
    """
    return text.replace("$", r"\$")


def bare(ax: Axes) -> None:
    """Take away the frame's upper and right side, and make the rest quiet."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(FAINT)
    ax.tick_params(color=FAINT, labelcolor=INK, labelsize=9)
