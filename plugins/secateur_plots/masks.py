"""Pictures of masks: kept weights black, pruned ones white, groups of a pattern outlined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import secateur
from secateur.errors import ModelError
from secateur.layout import Array
from secateur_plots.canvas import FAINT, GRID, axes, picture
from secateur_plots.flat import Flat, PatternLike, as_array, described, lay_flat, parsed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_LINES = 130
"""More lines of a grid than this would cover what they outline."""
_WIDEST = 6
PATTERNS: tuple[PatternLike, ...] = ("unstructured", {"kind": "block", "out": 1, "in": 2})


def plot_mask(
    weight_or_mask: object,
    ax: Axes | None = None,
    pattern: PatternLike | None = None,
    *,
    kind: str | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a mask in canonical layout: kept weights black, pruned ones white.

    Rows are outputs; columns are inputs, each with its spatial positions. Where a pattern's
    groups reach along the inputs, the columns are sorted by position first, so that a group is
    drawn in one piece. A large mask is averaged, so that its grey shows its density.

    Args:
        weight_or_mask: A mask, True = kept, or a weight, whose zeros are pruned.
        ax: Where to draw; None makes a figure.
        pattern: The pattern as in a policy, such as ``{"kind": "n_m", "keep": 2, "of": 4}``; its
            blocks or sets are outlined where there are few enough to see.
        kind: The kind of the weight; by default dense for two axes, conv for more.
        title: The title; by default the sparsity.

    Returns:
        The figure.

    Raises:
        ModelError: It is no array of a weight.
        PolicyError: There is no such pattern.

    Example:
        >>> figure = plot_mask(np.eye(4), pattern={"kind": "n_m", "keep": 2, "of": 4})
        >>> figure.axes[0].get_title()
        'sparsity 0.75'

    """
    flat = lay_flat(weight_or_mask, pattern, kind)
    rows, columns = flat.kept.shape
    ratio = min(max(columns / max(rows, 1), 1 / _WIDEST), _WIDEST)
    width, height = (6.4, 1.2 + 5.4 / ratio) if ratio > 1 else (1.2 + 5.0 * ratio, 6.2)
    figure, ax = axes(ax, width, height)
    _draw(ax, flat)
    ax.set_title(_sparsity(flat.kept) if title is None else title, fontsize=11)
    return figure  # type: ignore[no-any-return]


def plot_masks(
    weight: object,
    sparsity: float = 0.5,
    patterns: Sequence[PatternLike] = PATTERNS,
    ax: Sequence[Axes] | None = None,
    *,
    kind: str | None = None,
) -> Figure:
    r"""Draw a weight side by side: dense, and pruned at once by each of some patterns.

    Args:
        weight: The weight, in canonical layout; it is not changed.
        sparsity: The sparsity to prune it to; a pattern such as 2:4 has its own.
        patterns: The patterns as in a policy; by default single weights, and blocks of 1 x 2.
        ax: Where to draw, one for each picture and one more than patterns; None makes a figure.
        kind: The kind of the weight; by default dense for two axes, conv for more.

    Returns:
        The figure.

    Raises:
        ModelError: It is no array of a weight, or `ax` holds another number of Axes.
        PolicyError: There is no such pattern, or `sparsity` is none.

    Example:
        >>> weight = np.random.default_rng(0).normal(size=(16, 16))
        >>> [ax.get_title() for ax in plot_masks(weight).axes][1:]
        ['single weights\nsparsity 0.50', 'blocks of 1 x 2\nsparsity 0.50']

    """
    values = np.array(as_array(weight))
    shown = [("dense", lay_flat(np.ones(values.shape, bool), None, kind))]
    for pattern in patterns:
        mask = _mask(values, sparsity, pattern, kind)
        shown.append((described(pattern), lay_flat(mask, pattern, kind)))
    given = _new_axes(shown[0][1], len(shown)) if ax is None else list(ax)
    if len(given) != len(shown):
        raise ModelError(f"plot_masks draws {len(shown)} pictures, and ax holds {len(given)} Axes")
    for place, (each, (words, flat)) in enumerate(zip(given, shown, strict=True)):
        _draw(each, flat)
        each.set_title(f"{words}\n{_sparsity(flat.kept)}", fontsize=11)
        if place:
            each.set_ylabel("")
            each.tick_params(labelleft=False)
    return given[0].figure  # type: ignore[return-value]


def _new_axes(flat: Flat, count: int) -> list[Axes]:
    rows, columns = flat.kept.shape
    ratio = min(max(rows / max(columns, 1), 0.4), 2.5)
    figure = picture(3.3 * count, 1.1 + 3.1 * ratio)
    return list(figure.subplots(1, count))


def _mask(values: Array, sparsity: float, pattern: PatternLike, kind: str | None) -> Array:
    """Return the mask of a copy of a weight that is pruned at once."""
    chosen = parsed(pattern)
    schedule = {"kind": "one_shot", "final_sparsity": sparsity}
    model = {"weight": values.copy() if kind is None else (values.copy(), kind)}
    policy = secateur.Policy.parse({"schedule": schedule, "pattern": chosen.to_dict()})
    return secateur.prune(model, policy).masks["weight"]


def _sparsity(kept: Array) -> str:
    return f"sparsity {1 - kept.mean() if kept.size else 0:.2f}"


def _draw(ax: Axes, flat: Flat) -> None:
    rows, columns = flat.kept.shape
    ratio = columns / max(rows, 1)
    ax.imshow(
        ~flat.kept,
        cmap="gray",
        vmin=0,
        vmax=1,
        aspect="equal" if 1 / _WIDEST <= ratio <= _WIDEST else "auto",
        interpolation="antialiased",
        extent=(0, columns, rows, 0),
    )
    _outline(ax, flat)
    ax.set_xlabel(flat.column_label, fontsize=9)
    ax.set_ylabel(flat.row_label, fontsize=9)
    ax.tick_params(labelsize=8, color=FAINT)
    for spine in ax.spines.values():
        spine.set_color(FAINT)


def _outline(ax: Axes, flat: Flat) -> None:
    """Draw the borders of groups, where there are few enough to see them."""
    rows, columns = flat.kept.shape
    style: dict[str, Any] = {"colors": GRID, "linewidth": 0.6, "alpha": 0.8}
    if len(flat.row_edges) <= _MOST_LINES:
        ax.hlines(flat.row_edges, 0, columns, **style)
    if len(flat.column_edges) <= _MOST_LINES:
        ax.vlines(flat.column_edges, 0, rows, **style)
