"""``secateur plan``."""

from __future__ import annotations

from secateur.cli.app import All, Json, Kind, Model, PolicyName, Set, TotalSteps, app, load_policy
from secateur.cli.model_files import in_order, open_model
from secateur.cli.output import show, show_json
from secateur.run.checks.kept_zeros import with_notes
from secateur.run.resolve import resolve


@app.command("plan", epilog="Example: secateur plan policy.toml model.npz --set distribution=erk")
def plan(
    policy: PolicyName,
    model: Model,
    settings: Set = None,
    kind: Kind = None,
    total_steps: TotalSteps = None,
    every: All = False,
    json: Json = False,
) -> None:
    """Show what a policy will do to each weight of a model.  Changes nothing.

    MODEL may come first, as in `secateur prune`.
    """
    policy, model = in_order(policy, model)
    loaded = load_policy(policy, settings)
    opened = open_model(model, kind)
    planned = with_notes(resolve(loaded, opened.binding, total_steps), opened.binding)
    if json:
        table = {**planned.to_dict(), "size": planned.size, "kept": planned.kept}
        show_json({**table, "notes": [*planned.notes, *opened.notes]})
        return
    show(planned.view(fold=not every, notes=opened.notes))
