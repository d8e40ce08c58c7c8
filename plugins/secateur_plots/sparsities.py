"""Pictures of what a run has reached: the sparsity of each weight, beside its target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from secateur import Report
from secateur_plots.canvas import BLUE, FAINT, INK, ORANGE, axes, bare, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONGEST = 40


def plot_sparsity(report: Report, ax: Axes | None = None) -> Figure:
    """Draw the sparsity of each weight as a bar, and its target as a line across it.

    Args:
        report: What `pruner.report()` or `secateur.prune` returned.
        ax: Where to draw; None makes a figure that is as high as the weights are many.

    Returns:
        The figure.

    Example:
        >>> import secateur
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> report = secateur.prune({"a": np.eye(2), "b": np.ones((4, 4))}, half)
        >>> [text.get_text() for text in plot_sparsity(report).axes[0].get_yticklabels()]
        ['a', 'b', 'all']

    """
    names = [*(_short(weight.name) for weight in report.weights), "all"]
    reached = [*(weight.sparsity for weight in report.weights), report.sparsity]
    places = np.arange(len(names))
    figure, ax = axes(ax, 6.4, 1.1 + 0.26 * len(names))
    colours = [BLUE] * len(report.weights) + [FAINT]
    ax.barh(places, reached, height=0.62, color=colours, label="reached")
    asked = [
        (place, weight.target)
        for place, weight in zip(places, report.weights, strict=False)
        if weight.target is not None
    ]
    if asked:
        rows, targets = map(np.array, zip(*asked, strict=True))
        ax.vlines(targets, rows - 0.46, rows + 0.46, color=ORANGE, linewidth=2.4, label="target")
    for row, value in zip(places, reached, strict=True):
        inside = value > 0.85
        ax.annotate(
            f"{value:.3f}",
            (value, row),
            xytext=(-6 if inside else 6, 0),
            textcoords="offset points",
            ha="right" if inside else "left",
            va="center",
            fontsize=8,
            color="white" if inside else INK,
        )
    ax.set_yticks(places, names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(0, 1)
    ax.set_xlabel("sparsity", fontsize=9)
    bare(ax)
    ax.tick_params(axis="y", length=0)
    if asked:
        place: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderpad": 0}
        ax.legend(frameon=False, fontsize=9, ncols=2, **place)
    return figure  # type: ignore[no-any-return]


def _short(name: str) -> str:
    """Return a name as it fits beside a bar; its end says most."""
    return plain(name if len(name) <= _LONGEST else f"...{name[3 - _LONGEST :]}")
