"""The commands by name, and the options that several share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secateur import __version__

app = typer.Typer(
    name="secateur",
    help="Prune neural networks by one policy, with the same masks in every framework.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

PolicyName = Annotated[
    str, typer.Argument(metavar="POLICY", help="A policy file, or the name of a ready policy.")
]
Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="A .safetensors, .npz, .keras, .pt, .pth or packed file.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
All = Annotated[
    bool, typer.Option("--all", help="List each layer that is left dense, with the reason.")
]
Kind = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="GLOB=KIND",
        help="The kind of tensors of these names, or 'skip'; may be repeated.",
    ),
]
TotalSteps = Annotated[
    int | None,
    typer.Option(min=1, help="The number of optimizer updates, for steps given in percent."),
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"secateur {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold the options that stand before a command."""
