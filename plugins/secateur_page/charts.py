"""The chart of a run: the schedule of each rule, and the sparsity that was reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import secateur
from secateur import Recording
from secateur_page.text import shown

_MOST_RULES = 5
_POINTS = 120
ALL = "all prunable weights"
OTHER = "other run, all"


@dataclass(frozen=True)
class Point:
    """A sparsity at a step.

    Attributes:
        step: The step.
        series: Whose sparsity it is.
        what: ``scheduled`` or ``reached``.
        sparsity: The sparsity.

    """

    step: int
    series: str
    what: str
    sparsity: float


def points(
    recording: Recording, against: Recording | None, labels: Mapping[int, str]
) -> list[Point]:
    """Return what the chart shows.

    Args:
        recording: The run.
        against: Another run, of which the sparsity of all weights is shown.
        labels: What each rule is called, by its number.

    """
    found = _spaced([Point(s, ALL, "reached", value) for s, value in recording.sparsities.items()])
    rules = list(dict.fromkeys(w.rule for w in recording.weights.values() if w.method and w.rule))
    if recording.history and len(rules) <= _MOST_RULES:
        for rule in rules:
            found += _spaced(list(_reached(recording, rule, labels[rule])))
            found += _scheduled(recording, rule, labels[rule])
    if against is not None:
        sparsities = against.sparsities.items()
        found += _spaced([Point(step, OTHER, "reached", value) for step, value in sparsities])
    return found


def _spaced(found: list[Point]) -> list[Point]:
    """Return evenly spaced ones of many points, the first and the last among them."""
    if len(found) <= _POINTS:
        return found
    return [found[number * (len(found) - 1) // (_POINTS - 1)] for number in range(_POINTS)]


def _reached(recording: Recording, rule: int, label: str) -> Iterator[Point]:
    """Yield the sparsity of all weights of a rule, after each of its updates."""
    kept = {name: w.size for name, w in recording.weights.items() if w.rule == rule}
    size, found = sum(kept.values()), {}
    for update in recording.history:
        if update.weight in kept:
            kept[update.weight] = update.kept
            found[update.step] = 1 - sum(kept.values()) / size if size else 0.0
    return (Point(step, label, "reached", value) for step, value in found.items())


def _scheduled(recording: Recording, rule: int, label: str) -> Iterator[Point]:
    """Yield the schedule of a rule over the run; what was recorded, if it cannot be computed."""
    method = next(w.method for w in recording.weights.values() if w.rule == rule)
    table = (method or {}).get("schedule", {})
    end = table.get("end_step", 0)
    until = max(recording.steps[-1], end if isinstance(end, int) else 0, 1)
    steps = sorted({until * number // _POINTS for number in range(_POINTS + 1)})
    try:
        values = _sparsities(table, steps)
    except Exception:  # of a plugin that is not installed here, or whatever its code raises
        values = None
    if values is None:
        targets = {u.step: u.target for u in recording.history
                   if recording.weights[u.weight].rule == rule}  # fmt: skip
        steps, values = list(targets), list(targets.values())
    for step, value in zip(steps, values, strict=True):
        yield Point(step, label, "scheduled", value)


def _sparsities(table: Mapping[str, Any], steps: Sequence[int]) -> list[float] | None:
    """Return what a schedule asks for at some steps; None where that hangs on the run."""
    schedule = secateur.Policy.parse({"schedule": table}).schedule
    if schedule is None or schedule.begin_when:
        return None
    return [float(schedule.sparsity(step)) for step in steps]


def spec(found: list[Point], description: str) -> dict[str, Any]:
    """Return the chart for Vega-Lite; the page's style sheet says what its colours are.

    Args:
        found: What it shows.
        description: What a screen reader says of it.

    """
    series = list(dict.fromkeys(point.series for point in found))
    rules = [name for name in series if name not in (ALL, OTHER)]
    numbers = {ALL: "0", OTHER: "other", **{name: str(n) for n, name in enumerate(rules, 1)}}
    legend = {
        "title": None,
        "orient": "top",
        "labelLimit": 260,
        "symbolSize": 90,
        "symbolOpacity": 1,
    }
    of_series = {"field": "series", "type": "nominal", "legend": legend}
    range_ = [f"var(--series-{numbers[name]})" for name in series]
    colour = {**of_series, "scale": {"domain": series, "range": range_}}
    shape = {**of_series, "scale": {"domain": series}}
    x = {"field": "step", "type": "quantitative", "title": "step", "scale": {"nice": False},
         "axis": {"tickMinStep": 1, "tickCount": 10, "grid": False, "format": ",d"}}  # fmt: skip
    y = {"field": "sparsity", "type": "quantitative", "title": "sparsity",
         "scale": {"domain": [0, 1]}, "axis": {"format": ".1f", "tickCount": 6}}  # fmt: skip
    tooltip = [
        {"field": "series", "title": "weights"},
        {"field": "step", "format": ",d"},
        {"field": "what", "title": "figure"},
        {"field": "sparsity", "format": ".4f"},
    ]
    detail = {"detail": {"field": "series"}}
    layers: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("scheduled", {"type": "line", "strokeWidth": 1.5, "opacity": 0.75}, detail),
        ("reached", {"type": "line", "strokeWidth": 1, "strokeDash": [2, 3]}, detail),
        ("reached", {"type": "point", "filled": True, "size": 55, "opacity": 1},
         {"shape": shape, "tooltip": tooltip}),
    ]  # fmt: skip
    figures = {point.what for point in found}
    return {
        "description": description,
        "width": "container",
        "height": 260,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"values": [vars(point) for point in found]},
        "encoding": {"x": x, "y": y, "color": colour},
        "layer": [_layer(*each) for each in layers if each[0] in figures],
        "config": {
            "aria": False,  # hundreds of marks; a label and a table say it instead
            "background": None,
            "view": {"stroke": None},
            "font": "system-ui, sans-serif",
            "axis": {
                "labelColor": "var(--ink)", "titleColor": "var(--ink)", "labelFontSize": 12,
                "titleFontSize": 12, "titleFontWeight": "normal", "domainColor": "var(--line)",
                "tickColor": "var(--line)", "gridColor": "var(--line)",
            },
            "legend": {"labelColor": "var(--ink)", "labelFontSize": 12},
        },
    }  # fmt: skip


def _layer(what: str, mark: dict[str, Any], encoding: dict[str, Any]) -> dict[str, Any]:
    return {
        "transform": [{"filter": f"datum.what == '{what}'"}],
        "mark": mark,
        "encoding": encoding,
    }


def labels(recording: Recording) -> dict[int, str]:
    """Return what each rule of a recorded policy is called: its id or, without one, its number.

    Args:
        recording: The run.

    """
    rules = recording.policy.get("rules")
    tables = rules if isinstance(rules, list) else []
    ids = {n: t.get("id") for n, t in enumerate(tables, 1) if isinstance(t, dict)}
    numbers = {w.rule for w in recording.weights.values() if w.rule}
    taken: dict[int, str] = {}
    for number in sorted(numbers):
        label = shown(ids[number]) if ids.get(number) else f"rule {number}"
        taken[number] = f"{label} ({number})" if label in (*taken.values(), ALL, OTHER) else label
    return taken
