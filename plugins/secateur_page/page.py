"""A page: the template, its style and script, and what they show."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from secateur import Recording
from secateur_page import charts
from secateur_page.content import compared, summary, weight_rows
from secateur_page.frames import Frames, all_frames
from secateur_page.text import shown, shown_lines


def render(
    recording: Recording, against: Recording | None = None, notes: Sequence[str] = ()
) -> str:
    """Return a recorded run as one HTML page that needs nothing else.

    Args:
        recording: The run.
        against: Another run that it is compared with, if there is one.
        notes: What the reader should know besides.

    Example:
        >>> import numpy, secateur, tempfile
        >>> path = f"{tempfile.mkdtemp()}/run.npz"
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> weights = {"fc": numpy.ones((8, 16))}
        >>> report = secateur.prune(weights, half, observers=[secateur.Recorder(path)])
        >>> render(secateur.Recording.load(path))[:15]
        '<!DOCTYPE html>'

    """
    labels = charts.labels(recording)
    frames = all_frames(recording, against)
    rows = weight_rows(recording, against, labels, frames)
    found = charts.points(recording, against, labels)
    overall = summary(recording)
    description = (
        f"Sparsity over {len(recording.steps)} updates up to step {overall.step}; at the end "
        f"{overall.sparsity:.4f} of all prunable weights are pruned."
    )
    script, library = _file("page.js"), _library()
    return _template().render(
        summary=overall,
        rows=rows,
        kinds=sorted({row.kind for row in rows}),
        compared=None if against is None else compared(recording, against),
        notes=[shown(note, 2000) for note in notes],
        policy=shown_lines(json.dumps(recording.policy, indent=2, ensure_ascii=False)),
        reached=[point for point in found if point.what == "reached"],
        description=description,
        data={
            "chart": charts.spec(found, description) if recording.history else None,
            "weights": [_picture(frames.get(row.full_name)) for row in rows],
        },
        style=Markup(_file("page.css")),  # noqa: S704 our own file
        script=Markup(script),  # noqa: S704 our own file
        library=Markup(library),  # noqa: S704 what vl-convert bundles
        licence=Markup(_file("licence.txt")),  # noqa: S704 our own file
        hashes=" ".join(f"'sha256-{_hash(text)}'" for text in (library, script)),
    )


def _picture(frames: Frames | None) -> dict[str, Any] | None:
    """Return the pictures of a weight for the page's script."""
    if frames is None:
        return None
    return {
        "rows": frames.grid.rows,
        "columns": frames.grid.columns,
        "data": frames.data,
        "other": frames.other,
        "updates": [
            [update.step, update.kept, round(update.sparsity, 6)] for update in frames.updates
        ],
    }


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["grouped"] = lambda number: f"{number:,}"
    return environment.from_string(_file("page.html.jinja"))


@cache
def _library() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, which takes seconds to bundle."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
