"""``secateur report``: how far a run has come, from a saved state or a recording."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from secateur.cli.app import Json, app
from secateur.cli.output import progress, show, show_json, table
from secateur.errors import RecordingError, StateError
from secateur.files import check_outputs
from secateur.recording.recording import Recording
from secateur.run.saved import state
from secateur.tables import Column, Paragraph, format_sparsity, stay_line

_COLUMNS = (
    Column("mask", long="shorten"),
    Column("size", right=True),
    Column("kept", right=True),
    Column("sparsity", right=True),
)


@app.command("report", epilog="Example: secateur report run.npz")
def report(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A recording of a secateur.Recorder, or a state of pruner.save()."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write a page about the recorded run to this .html."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Another recording, which the page compares it with."),
    ] = None,
    json: Json = False,
) -> None:
    """Show how far a run has come: its step, its policy, and the sparsity of each mask.

    With -o, a page that opens from disk without a network: the weights, the schedule, every mask.
    """
    if against and not output:
        raise typer.BadParameter("--against needs --output: the page compares the two runs")
    check_outputs([output], [file, *filter(None, [against])])
    if output:
        _write_page(file, against, output)
        return
    if _is_recording(file):
        recording = Recording.load(file)
        step = recording.steps[-1] if recording.steps else 0
        kept = {update.weight: update.kept for update in recording.history}
        rows = {name: (weight.size, kept.get(name, weight.size))
                for name, weight in recording.weights.items()}  # fmt: skip
        _show(rows, step, recording.fingerprint, json)
        return
    saved = state.load(file)
    if not saved.masks:
        raise StateError(f"{file}: saved at step {saved.step}, before any mask was made")
    rows = {name: (mask.size, int(mask.sum())) for name, mask in saved.masks.items()}
    _show(rows, saved.step, saved.fingerprint, json, saved.about)


def _write_page(file: Path, against: Path | None, output: Path) -> None:
    recording = _recording(file)
    other = _recording(against) if against else None
    with progress(f"writing {output}"):
        recording.to_html(output, against=other)
    show([Paragraph([f"written to {output}"])])


def _recording(file: Path) -> Recording:
    if file.is_file() and not _is_recording(file):
        raise RecordingError(
            f"{file}: no recording; a page needs one, and attach(..., "
            'observers=[secateur.Recorder("run.npz")]) writes it'
        )
    return Recording.load(file)


def _is_recording(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            return "recording.npy" in archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def _show(
    rows: Mapping[str, tuple[int, int]],
    step: int,
    fingerprint: str,
    json: bool,
    about: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    size, kept = (sum(row[which] for row in rows.values()) for which in (0, 1))
    if json:
        weights = [
            {"name": name, "size": n, "kept": k, "sparsity": 1 - k / n if n else 0.0}
            for name, (n, k) in rows.items()
        ]
        sparsity = 1 - kept / size if size else 0.0
        show_json(
            {
                "step": step,
                "fingerprint": fingerprint,
                "sparsity": sparsity,
                "weights": weights,
                **({"about": about} if about else {}),
            }
        )
        return
    lines: list[tuple[Any, ...]] = [
        (name, f"{n:,}", f"{k:,}", format_sparsity(1 - k / n) if n else None)
        for name, (n, k) in {**rows, "all": (size, kept)}.items()
    ]
    show(
        [
            table(_COLUMNS, lines, total=True),
            Paragraph([f"step {step}", f"policy {fingerprint}"]),
            Paragraph([stay_line(kept, size)], "result"),
        ]
    )
