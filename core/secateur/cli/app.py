"""The commands by name, and the options that several share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secateur import __version__
from secateur.policy import ready
from secateur.policy.policy import Policy
from secateur.policy.reading.overrides import parse_settings
from secateur.policy.sources import FORMATS

app = typer.Typer(
    name="secateur",
    help="Prune neural networks by one policy, with the same masks in every framework.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def complete_policy(beginning: str) -> list[str]:
    """Return the ready policies, and the policy files of the folder, that a word may become."""
    files = (path.name for path in Path().iterdir() if path.suffix in FORMATS)
    return [name for name in (*ready.names(), *sorted(files)) if name.startswith(beginning)]


PRUNABLE = ".safetensors, .npz, .keras, .weights.h5, .onnx, .pt or .pth"
"""The files that are pruned, in words."""
MODELS = f"{PRUNABLE}, a packed one, a .pt2 program"
"""The files that are read, in words."""
FOLDER = "a folder of .safetensors files, with its index"
PolicyName = Annotated[
    str,
    typer.Argument(
        metavar="POLICY",
        help="A policy file, or the name of a ready policy.",
        autocompletion=complete_policy,
    ),
]
Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help=f"A file: {MODELS}; or {FOLDER}.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
All = Annotated[
    bool,
    typer.Option("--all", help="List all of what is folded otherwise, such as layers left dense."),
]
Kind = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="GLOB=KIND",
        help="The kind of tensors of these names, or 'skip'; may be repeated.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting of the policy: schedule.final_sparsity=0.9; may be repeated.",
    ),
]
TotalSteps = Annotated[
    int | None,
    typer.Option(min=1, help="The number of optimizer updates, for steps given in percent."),
]


def load_policy(name: str, settings: list[str] | None = None) -> Policy:
    """Return the policy of a file, or a ready one, with the settings of ``--set`` changed.

    Args:
        name: What was given as POLICY.
        settings: What was given by ``--set``.

    Raises:
        PolicyError: The policy is not valid, or it has no such setting.

    """
    return Policy.load(name, overrides=parse_settings(settings or (), "--set"))


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
