"""``secateur check``: every fault of policies, and what was surely meant otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from secateur.adapter import Binding
from secateur.cli.app import All, Json, Kind, Set, TotalSteps, app, complete_policy
from secateur.cli.model_files import open_model
from secateur.cli.output import show, show_json
from secateur.errors import SecateurError
from secateur.policy.reading.overrides import parse_settings
from secateur.review.check import check_bound

Opened = tuple[str, Binding | SecateurError | OSError]


@app.command("check", epilog="Example: secateur check policy.toml --model model.npz")
def check(
    policies: Annotated[
        list[str],
        typer.Argument(
            metavar="POLICY...",
            help="Policy files, or ready policies.",
            autocompletion=complete_policy,
        ),
    ],
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", help="A model to check the policies on; may be repeated."),
    ] = None,
    settings: Set = None,
    kind: Kind = None,
    total_steps: TotalSteps = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if there are warnings, too.")
    ] = False,
    every: All = False,
    json: Json = False,
) -> None:
    """Check policies: every fault, and what is legal and was surely meant otherwise.

    The exit code is 1 if there is a problem in any of them.
    """
    changes = parse_settings(settings or (), "--set")
    opened = list(_opened(model or (), kind))
    found = [check_bound(name, opened, total_steps, changes) for name in policies]
    if json:
        show_json([each.to_dict() for each in found])
    else:
        for number, each in enumerate(found):
            if number:
                typer.echo()
            show(each.view(fold=not every))
    if not all(each.ok and not (strict and each.warnings) for each in found):
        raise typer.Exit(1)


def _opened(paths: Sequence[Path], kind: Kind) -> Iterator[Opened]:
    for path in paths:
        try:
            yield str(path), open_model(path, kind).binding
        except (SecateurError, OSError) as error:
            yield str(path), error
