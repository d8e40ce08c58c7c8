"""Pictures of runs: their course, and how their seeds spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from records import Line

_SIZE = {"dpi": 110, "metadata": {"Software": None}}


def courses(lines: Sequence[Line], rows: Sequence[str], path: Path) -> None:
    """Draw the loss and the sparsity of the first seed of some rows, over the updates."""
    plt = _pyplot()
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(8, 5), sharex=True, height_ratios=(2, 1), layout="constrained"
    )
    for row in rows:
        for line in lines:
            if line["row"] == row and line["seed"] == 0 and "course" in line:
                steps, losses, sparsities = zip(*line["course"], strict=True)
                above.plot(steps, losses, label=row)
                below.plot(steps, sparsities)
    above.set(yscale="log", ylabel="loss in training")
    above.legend(loc="lower left", fontsize="small")
    below.set(xlabel="update", ylabel="sparsity")
    figure.savefig(path, **_SIZE)
    plt.close(figure)


def spreads(lines: Sequence[Line], groups: Mapping[str, Sequence[str]], path: Path) -> None:
    """Draw the value of every seed of some rows, a row below the other, in groups."""
    plt = _pyplot()
    heights = [len(rows) for rows in groups.values()]
    figure, parts = plt.subplots(
        len(groups),
        1,
        figsize=(8, 0.8 + 0.35 * sum(heights)),
        sharex=True,
        height_ratios=heights,
        layout="constrained",
    )
    for part, (title, rows) in zip(parts, groups.items(), strict=True):
        for place, row in enumerate(rows):
            values = [line["value"] for line in lines if line["row"] == row]
            part.plot(values, [place] * len(values), "o", color="tab:blue", alpha=0.7)
        part.set(
            yticks=range(len(rows)), yticklabels=rows, title=title, ylim=(len(rows) - 0.5, -0.5)
        )
        part.grid(axis="x", alpha=0.3)
    parts[-1].set_xlabel(f"{lines[0]['metric']} of each seed")
    figure.savefig(path, **_SIZE)
    plt.close(figure)


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    return pyplot
