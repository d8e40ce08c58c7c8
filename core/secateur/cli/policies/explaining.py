"""``secateur explain``."""

from __future__ import annotations

from typing import Annotated

import typer

from secateur.cli.app import All, Json, Kind, Model, PolicyName, Set, TotalSteps, app, load_policy
from secateur.cli.model_files import in_order, open_model
from secateur.cli.output import show, show_json
from secateur.review.explain import explain_bound


@app.command("explain", epilog="Example: secateur explain policy.toml model.npz fc")
def explain(
    policy: PolicyName,
    model: Model,
    weight: Annotated[
        str,
        typer.Argument(
            metavar="WEIGHT", help="The name of a weight or layer, or a glob: 'encoder.*'."
        ),
    ],
    settings: Set = None,
    kind: Kind = None,
    total_steps: TotalSteps = None,
    every: All = False,
    json: Json = False,
) -> None:
    """Show which rule decides a weight, and in which file and line each setting is written.

    MODEL may come before POLICY.
    """
    policy, model = in_order(policy, model)
    loaded = load_policy(policy, settings)
    opened = open_model(model, kind)
    found = explain_bound(loaded, opened.binding, weight, total_steps)
    if json:
        table = found.to_dict()
        show_json({**table, "notes": [*table["notes"], *opened.notes]})
        return
    show(found.view(fold=not every, notes=opened.notes))
