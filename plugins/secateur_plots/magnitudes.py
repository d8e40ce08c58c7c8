"""Pictures of the magnitudes of a weight, and of the threshold between pruned and kept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from secateur.errors import ModelError
from secateur_plots.canvas import BLUE, FAINT, INK, ORANGE, axes, bare
from secateur_plots.flat import as_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 60


def plot_magnitudes(
    weight: object, threshold: float | None = None, ax: Axes | None = None
) -> Figure:
    """Draw a histogram of a weight's magnitudes, with the threshold below which it is pruned.

    Zeros are left out, and counted in the title: those are the weights that are pruned already.

    Args:
        weight: The weight, of any shape.
        threshold: The smallest magnitude that is kept, as `RecordedUpdate.threshold` has it.
        ax: Where to draw; None makes a figure.

    Returns:
        The figure.

    Raises:
        ModelError: The weight is no array of numbers, or holds a NaN or infinity, or the threshold
            is no magnitude.

    Example:
        >>> weight = np.random.default_rng(0).normal(size=(32, 32))
        >>> plot_magnitudes(weight, threshold=0.7).axes[0].get_title()
        '546 of 1,024 weights lie below 0.7'

    """
    if threshold is not None and not 0 <= threshold < math.inf:
        raise ModelError(f"threshold={threshold}: wanted a magnitude from 0")
    try:
        magnitudes = np.abs(as_array(weight).astype(np.float64)).reshape(-1)
    except (TypeError, ValueError):
        raise ModelError(f"a weight is an array of numbers, not {type(weight).__name__}") from None
    if not np.isfinite(magnitudes).all():
        raise ModelError("the weight holds a NaN or infinity, which has no place in a histogram")
    alive = magnitudes[magnitudes > 0]
    zeros = magnitudes.size - alive.size
    figure, ax = axes(ax, 6.4, 3.6)
    bins = _bins(float(alive.max(initial=0.0)) or 1.0, threshold)
    below = alive[alive < threshold] if threshold is not None else alive[:0]
    kept = alive[alive >= threshold] if threshold is not None else alive
    if below.size:
        style: dict[str, Any] = {"color": ORANGE, "alpha": 0.75, "hatch": "////"}
        ax.hist(below, bins, edgecolor="white", linewidth=0, label="pruned", **style)
    ax.hist(kept, bins, color=BLUE, label="kept")
    if threshold is not None:
        ax.axvline(threshold, color=INK, linewidth=1.4)
        ax.annotate(
            f" threshold {threshold:.3g}",
            (threshold, 1),
            xycoords=("data", "axes fraction"),
            va="top",
            fontsize=9,
            color=INK,
        )
    ax.set_title(_title(magnitudes.size, int(below.size), zeros, threshold), fontsize=10)
    ax.set_xlim(left=0)
    ax.set_xlabel("magnitude", fontsize=9)
    ax.set_ylabel("weights", fontsize=9)
    ax.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.8)
    ax.set_axisbelow(True)
    bare(ax)
    if below.size:
        ax.legend(frameon=False, fontsize=9, loc="center right")
    return figure  # type: ignore[no-any-return]


def _bins(largest: float, threshold: float | None) -> list[float]:
    """Return the edges of equal bins from 0; the threshold is one of them."""
    width = largest / _BINS
    if threshold is not None and width / 2 < threshold <= largest:
        width = threshold / max(1, round(threshold / width))
    return [number * width for number in range(int(np.ceil(largest / width)) + 2)]


def _title(size: int, below: int, zeros: int, threshold: float | None) -> str:
    parts = []
    if threshold is not None:
        parts.append(f"{below:,} of {size:,} weights lie below {threshold:.3g}")
    if zeros:
        parts.append(f"{zeros:,} are zero, and not shown")
    return "; ".join(parts) or f"{size:,} weights"
