"""``secateur verify``: whether the file that ships obeys a policy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secateur.cli.app import Json, Kind, Model, Set, TotalSteps, app, load_policy
from secateur.cli.model_files import open_model
from secateur.cli.output import progress, show, show_json
from secateur.shipping.model_files import policy_noted_in
from secateur.verification.question import Question
from secateur.verification.verify import verify_bound


@app.command("verify", epilog="Example: secateur verify pruned.npz --policy policy.toml")
def verify(
    model: Model,
    policy: Annotated[
        str, typer.Option(help="A policy file, or the name of a ready policy.", show_default=False)
    ],
    at: Annotated[
        int | None,
        typer.Option(min=0, help="The optimizer updates finished; else the final sparsity."),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(help="Prove the zeros by the masks of `secateur prune --masks`."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Prove the zeros by a state of pruner.save(), at its step."),
    ] = None,
    total_steps: TotalSteps = None,
    extra_zeros: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="The fraction of a weight that may be zero beyond what is asked."
        ),
    ] = None,
    settings: Set = None,
    kind: Kind = None,
    every: Annotated[bool, typer.Option("--all", help="List each weight.")] = False,
    json: Json = False,
) -> None:
    """Check that each weight of a model has the zeros that a policy asks for.

    Exit with 1, and show what is wrong, if it does not.
    """
    loaded = load_policy(policy, settings)
    question = Question(loaded, at, masks, state, total_steps, extra_zeros)
    opened = open_model(model, kind)
    with progress("counting", sum(each.spec.size for each in opened.binding.weights)) as advance:
        found = verify_bound(
            opened.binding,
            question,
            model,
            lambda spec: advance(spec.size),
            opened.notes,
            policy_noted_in(model, opened.model),
        )
    if json:
        show_json(found.to_dict())
    else:
        show(found.view(fold=not every))
    if not found.holds:
        raise typer.Exit(1)
