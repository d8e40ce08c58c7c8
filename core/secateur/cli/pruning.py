"""``secateur prune``."""

from __future__ import annotations

from os.path import realpath
from pathlib import Path
from typing import Annotated

import typer

from secateur.checkpoints import open_checkpoint
from secateur.checkpoints.bind import CheckpointBinding
from secateur.checkpoints.infer_kinds import assumptions, parse_kinds
from secateur.cli.app import Json, Kind, PolicyName, Set, app, load_policy
from secateur.cli.output import progress, show, show_json
from secateur.errors import ModelError
from secateur.files import check_outputs, is_same_file
from secateur.run.one_shot import prune_once
from secateur.run.plan import Plan
from secateur.run.report import Report
from secateur.run.resolve import resolve
from secateur.run.saved import state
from secateur.run.saved.about import about
from secateur.run.saved.state import State


@app.command("prune")
def prune(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A .safetensors or .npz file.")
    ],
    policy: PolicyName,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the pruned copy goes.")
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the checkpoint by its pruned copy.")
    ] = False,
    settings: Set = None,
    kind: Kind = None,
    masks: Annotated[
        Path | None, typer.Option(help="Write the masks to this .npz, for pruner.load().")
    ] = None,
    json: Json = False,
) -> None:
    """Prune a checkpoint to a policy's final sparsity, without a framework.

    Everything else in the file stays as it is.
    """
    output = _output(checkpoint, output, in_place)
    read = [] if in_place else [checkpoint]
    check_outputs([output, masks], [*read, Path(policy)])
    loaded = load_policy(policy, settings)
    check_outputs([output, masks], [*read, *loaded.files])
    source = open_checkpoint(checkpoint)
    with progress(f"reading {checkpoint}"):
        model = CheckpointBinding(source, parse_kinds(kind or ()), writable=True)
    planned = resolve(loaded, model.binding)
    report = _prune(model, planned)
    with progress(f"writing {output}"):
        if masks:
            arrays = State(0, loaded.fingerprint, report.masks).to_arrays()
            state.save({**arrays, **about(planned, one_shot=True)}, masks)
        source.write(output, model.changed(report.masks), loaded.fingerprint)
    assumed = assumptions(model.reasons)
    if json:
        table = {**report.to_dict(), "output": str(output)}
        show_json({**table, "notes": [*planned.notes, *report.notes, *assumed]})
        return
    notes = [f"note: {note}" for note in planned.notes]
    show(report.view(notes=[*notes, *assumed, f"written to {output}"]))


def _output(checkpoint: Path, output: Path | None, in_place: bool) -> Path:
    """Return where the pruned copy goes."""
    if output is None:
        if not in_place:
            raise typer.BadParameter("wanted --output, or --in-place")
        return checkpoint
    if in_place and realpath(checkpoint) != realpath(output):
        raise typer.BadParameter("--in-place is for an --output that is the checkpoint itself")
    if is_same_file(checkpoint, output) and not in_place:
        raise ModelError(
            f"{output}: the checkpoint itself; give another --output, or --in-place to replace it"
        )
    if output.suffix != checkpoint.suffix:
        raise ModelError(f"{output}: wanted the format of the input, {checkpoint.suffix}")
    return output


def _prune(model: CheckpointBinding, planned: Plan) -> Report:
    size = sum(spec.size for group in planned.rule_weights for spec in group.specs)
    # the weights of one rule are computed in one go: the bar then only shows that it runs
    with progress("pruning", size if len(planned.rule_weights) > 1 else None) as advance:
        return prune_once(
            model.binding,
            planned,
            lambda group: advance(sum(spec.size for spec in group.specs)),
        )
