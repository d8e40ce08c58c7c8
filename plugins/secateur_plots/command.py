"""``secateur animate``: a recorded run as an animation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from secateur import Recording
from secateur.errors import PluginError, RecordingError, nearest


def animate(
    run: Annotated[Path, typer.Argument(help="A file that a secateur.Recorder wrote.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The animation: .gif, .webp or .mp4.")
    ],
    weight: Annotated[
        str | None,
        typer.Option(help="The name of the weight; may be left out where one was pruned."),
    ] = None,
    width: Annotated[int, typer.Option(min=160, max=3840, help="In pixels, at most.")] = 960,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="How long it takes.")] = 6.0,
) -> None:
    """Show the mask of a weight over a recorded run: kept black, pruned white."""
    try:
        from secateur_plots import animation
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "PIL":
            raise
        message = 'secateur animate needs Pillow: pip install "secateur[plots]"'
        raise PluginError(message) from None
    animation.check_writer(output)
    recording = Recording.load(run)
    name = _chosen(recording, weight)
    console = Console(stderr=True)
    drawn = track(
        animation.frames(recording, name, width),
        f"drawing {name}",
        len(recording.updates(name)),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    shown = list(drawn)
    animation.write(shown, output, seconds)
    typer.echo(f"{len(shown)} frames of {name} written to {output}")


def _chosen(recording: Recording, weight: str | None) -> str:
    """Return the weight that is meant."""
    if weight is not None:
        recording.updates(weight)  # refused if there is none
        return weight
    pruned = [name for name in recording.weights if recording.updates(name)]
    if len(pruned) != 1:
        hint = nearest("", pruned)
        raise RecordingError(f"{len(pruned)} weights were pruned; pass --weight: {hint}")
    return pruned[0]
