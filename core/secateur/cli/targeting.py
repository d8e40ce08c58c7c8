"""``secateur target``: what runtimes and hardware do with the zeros of a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli.app import All, Json, Kind, Set, app, load_policy
from secateur.cli.model_files import open_model
from secateur.cli.output import progress, show, show_json, table
from secateur.errors import TargetError
from secateur.files import check_absent, check_outputs, write_atomically
from secateur.tables import Column
from secateur.targets.describe import describe
from secateur.targets.estimate import estimate as estimate_of
from secateur.targets.estimate import is_estimated_from_file, of_bound
from secateur.targets.judge import judge
from secateur.targets.load import load, names
from secateur.targets.report import TargetReport


@app.command("target", epilog="Example: secateur target tensorrt model.npz")
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
    settings: Set = None,
    kind: Kind = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 if the target does not use the zeros.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the suggested policy to this file.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let --output replace a file that is there.")
    ] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Add what the target's own tool estimates.")
    ] = False,
    configuration: Annotated[
        str | None,
        typer.Option(help="What --estimate estimates for, such as ethos-u55-256."),
    ] = None,
    every: All = False,
    json: Json = False,
) -> None:
    """Show which zeros of a model a runtime or hardware uses, what is gained, and how to prune.

    Weight by weight, with the reason where it does not; and a policy that it can use.  Of an
    int8 .tflite file, which holds no weights that could be pruned: Vela's estimates.
    """
    asks = _Asks(
        policy, settings, kind, check, output, overwrite, estimate, configuration, every, json
    )
    asks.check(model)
    if name is None:
        _list(json)
    elif model is None:
        _describe(name, json)
    elif is_estimated_from_file(model):
        _estimate_file(name, model, asks)
    else:
        _judge(name, model, asks)


@dataclass(frozen=True)
class _Asks:
    """The options of the command."""

    policy: str | None
    settings: list[str] | None
    kind: list[str] | None
    check_zeros: bool
    output: Path | None
    overwrite: bool
    estimate: bool
    configuration: str | None
    every: bool
    json: bool

    def check(self, model: Path | None) -> None:
        """Refuse options that ask for what cannot be done."""
        of_weights = self.policy or self.kind or self.check_zeros or self.output or self.every
        if model is None and (of_weights or self.estimate or self.configuration):
            raise typer.BadParameter("every option but --json needs a MODEL")
        if model and is_estimated_from_file(model) and of_weights:
            raise typer.BadParameter(f"a {model.suffix} file is estimated, and nothing else")
        estimated = self.estimate or (model and is_estimated_from_file(model))
        if self.settings and not self.policy:
            raise typer.BadParameter("--set changes a --policy")
        if self.configuration and not estimated:
            raise typer.BadParameter("--configuration belongs to --estimate")
        if self.output and self.output.suffix != ".toml":
            raise typer.BadParameter("--output is the name of a .toml file")


def _describe(name: str, json: bool) -> None:
    chosen = load(name)
    if json:
        show_json(chosen.model_dump(mode="json", by_alias=True, exclude_none=True))
    else:
        show(describe(chosen))


def _estimate_file(name: str, model: Path, asks: _Asks) -> None:
    with progress(f"estimating {model}"):
        found = estimate_of(name, model, configuration=asks.configuration)
    if asks.json:
        show_json(found.to_dict())
    else:
        show(found.view())


def _judge(name: str, model: Path, asks: _Asks) -> None:
    chosen = load(name)
    wanted = None if asks.policy is None else load_policy(asks.policy, asks.settings)
    check_outputs([asks.output], [model])
    if asks.output:
        check_absent(asks.output, asks.overwrite)
    opened = open_model(model, asks.kind)
    with progress("counting", sum(each.spec.size for each in opened.binding.weights)) as advance:
        report = judge(chosen, opened.binding, wanted, lambda spec: advance(spec.size))
    costs = None
    if asks.estimate:
        with progress("estimating"):
            costs = of_bound(name, opened.model, opened.binding, asks.configuration)
    if asks.output:
        _write_policy(report, asks.output)
    if asks.json:
        shown = report.to_dict()
        extra = {"estimate": costs.to_dict()} if costs else {}
        show_json({**shown, "notes": [*shown["notes"], *opened.notes], **extra})
    else:
        parts = list(report.view(fold=not asks.every, notes=opened.notes))
        show([*parts, *costs.view()] if costs else parts)
    if asks.check_zeros and not report.meets:
        raise typer.Exit(1)


def _write_policy(report: TargetReport, output: Path) -> None:
    if report.policy is None:
        raise TargetError(
            f"{report.target.name} uses no zeros of this model, so {output} was not written"
        )
    write_atomically(output, report.policy.encode())


def _list(json: bool) -> None:
    found = [load(name) for name in names()]
    if json:
        show_json([{"name": each.name, "title": each.title, "gains": each.gains} for each in found])
        return
    rows = [(each.name, ", ".join(each.gains) or "nothing", each.title) for each in found]
    show([table((Column("target"), Column("gains"), Column("title", long="wrap")), rows)])
