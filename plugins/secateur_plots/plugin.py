"""The hook: the command ``secateur animate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secateur import hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def secateur_commands(app: typer.Typer) -> None:
    from secateur_plots.command import animate  # with typer, which the library does not import

    app.command("animate", epilog="Example: secateur animate run.npz -o pruning.gif")(animate)
