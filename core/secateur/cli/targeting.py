"""``secateur target``: what runtimes and hardware do with the zeros of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secateur.cli.app import All, Json, Kind, app
from secateur.cli.model_files import open_model
from secateur.cli.output import progress, show, show_json, table
from secateur.cli.outputs import check_outputs
from secateur.errors import TargetError
from secateur.files import write_atomically
from secateur.policy.policy import as_policy
from secateur.tables import Column
from secateur.targets.describe import describe
from secateur.targets.judge import judge
from secateur.targets.load import load, names


@app.command("target")
def target(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A target; without one they are listed.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Argument(metavar="[MODEL]", help="A model; without one, what the target takes."),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(help="Judge the zeros that this policy would set, not those of the model."),
    ] = None,
    kind: Kind = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 if the target does not use the zeros.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the suggested policy to this file.")
    ] = None,
    every: All = False,
    json: Json = False,
) -> None:
    """Show which zeros of a model a runtime or hardware uses, what is gained, and how to prune.

    Weight by weight, with the reason where it does not; and a policy that it can use.
    """
    if model is None and (policy or kind or check or output):
        raise typer.BadParameter("--policy, --kind, --check and --output need a MODEL")
    if output and output.suffix != ".toml":
        raise typer.BadParameter("--output is the name of a .toml file")
    if name is None:
        _list(json)
        return
    chosen = load(name)
    if model is None:
        if json:
            show_json(chosen.model_dump(mode="json", by_alias=True, exclude_none=True))
        else:
            show(describe(chosen))
        return
    wanted = None if policy is None else as_policy(policy)
    check_outputs([output], [model])
    opened = open_model(model, kind)
    with progress("counting", sum(each.spec.size for each in opened.binding.weights)) as advance:
        report = judge(chosen, opened.binding, wanted, lambda spec: advance(spec.size))
    if output:
        if report.policy is None:
            raise TargetError(f"{name} uses no zeros of this model, so {output} was not written")
        write_atomically(output, report.policy.encode())
    if json:
        shown = report.to_dict()
        show_json({**shown, "notes": [*shown["notes"], *opened.notes]})
    else:
        show(report.view(fold=not every, notes=opened.notes))
    if check and not report.meets:
        raise typer.Exit(1)


def _list(json: bool) -> None:
    found = [load(name) for name in names()]
    if json:
        show_json([{"name": each.name, "title": each.title, "gains": each.gains} for each in found])
        return
    rows = [(each.name, ", ".join(each.gains) or "nothing", each.title) for each in found]
    show([table((Column("target"), Column("gains"), Column("title", long="wrap")), rows)])
