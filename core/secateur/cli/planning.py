"""``secateur plan``."""

from __future__ import annotations

import typer

from secateur.checkpoints.infer_kinds import ASSUMED
from secateur.cli.app import Json, Kind, Model, PolicyName, TotalSteps, app
from secateur.cli.model_files import open_model
from secateur.cli.output import show_json
from secateur.policy.policy import as_policy
from secateur.run.plan import resolve


@app.command("plan")
def plan(
    policy: PolicyName,
    model: Model,
    kind: Kind = None,
    total_steps: TotalSteps = None,
    json: Json = False,
) -> None:
    """Show what a policy will do to each weight of a model.  Changes nothing."""
    settled = as_policy(policy)
    binding, assumed = open_model(model, kind)
    planned = resolve(settled, binding, total_steps)
    size = sum(weight.spec.size for weight in planned.weights)
    if json:
        notes = [ASSUMED] if assumed else []
        show_json({**planned.to_dict(), "size": size, "kept": planned.kept, "notes": notes})
        return
    typer.echo(str(planned))
    typer.echo(f"{planned.kept:,} of {size:,} prunable weights stay")
    if assumed:
        typer.echo(ASSUMED)
