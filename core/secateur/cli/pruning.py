"""``secateur prune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secateur.checkpoints import open_checkpoint
from secateur.checkpoints.bind import CheckpointBinding
from secateur.checkpoints.infer_kinds import ASSUMED, parse_kinds
from secateur.cli.app import Json, Kind, PolicyName, app
from secateur.cli.output import progress, show_json
from secateur.errors import ModelError
from secateur.policy.policy import as_policy
from secateur.run import state
from secateur.run.one_shot import prune_once
from secateur.run.plan import resolve
from secateur.run.state import State


@app.command("prune")
def prune(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A .safetensors or .npz file.")
    ],
    policy: PolicyName,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the pruned copy goes.")],
    kind: Kind = None,
    masks: Annotated[
        Path | None, typer.Option(help="Write the masks to this .npz, for pruner.load().")
    ] = None,
    json: Json = False,
) -> None:
    """Prune a checkpoint to a policy's final sparsity, without a framework.

    Everything else in the file stays as it is.
    """
    settled = as_policy(policy)
    if output.suffix != checkpoint.suffix:
        raise ModelError(f"{output}: wanted the format of the input, {checkpoint.suffix}")
    source = open_checkpoint(checkpoint)
    with progress(f"reading {checkpoint}"):
        model = CheckpointBinding(source, parse_kinds(kind or ()), writable=True)
    planned = resolve(settled, model.binding)
    size = sum(spec.size for group in planned.rule_weights for spec in group.specs)
    # one group is computed in one go: the bar then tells only that something goes on
    with progress("pruning", size if len(planned.rule_weights) > 1 else None) as advance:
        report = prune_once(
            model.binding,
            planned,
            lambda group: advance(sum(spec.size for spec in group.specs)),
        )
    with progress(f"writing {output}"):
        changed = {model.tensors[name]: model.arrays[model.tensors[name]] for name in report.masks}
        source.write(output, changed, settled.fingerprint)
        if masks:
            state.save(State(0, settled.fingerprint, report.masks).to_arrays(), masks)
    if json:
        show_json({**report.to_dict(), "output": str(output), "notes": [ASSUMED]})
        return
    typer.echo(str(report))
    typer.echo(f"{ASSUMED}\nwritten to {output}")
