"""``secateur schema``, ``plugins`` and ``policies``: what there is to write in a policy."""

from __future__ import annotations

from typing import Annotated

import typer

from secateur.cli.app import Json, app
from secateur.cli.output import show, show_json, table
from secateur.errors import PolicyError, nearest, shown
from secateur.hooks.registry import registry
from secateur.policy import ready
from secateur.policy.schema import policy_schema
from secateur.tables import Column, Lines


@app.command("schema", epilog="Example: secateur schema > policy.schema.json")
def schema() -> None:
    """Print the JSON Schema of the policy file, installed plugins included.

    Save it next to a policy whose first line is: #:schema policy.schema.json
    """
    show_json(policy_schema())


@app.command("plugins", epilog="Example: secateur plugins --json")
def plugins(json: Json = False) -> None:
    """List what is registered, from which distribution and version, and what failed."""
    found = [*registry().plugins.values(), *registry().failed]
    if json:
        show_json([vars(plugin) for plugin in found])
        return
    rows = [
        (
            plugin.name,
            plugin.distribution or "registered in code",
            plugin.version,
            "left out" if plugin.error else "registered",
            plugin.error or _summary(plugin.provides),
        )
        for plugin in found
    ]
    columns = (
        Column("plugin", long="shorten", least=10),
        Column("distribution", long="shorten", least=12),
        Column("version", drop=1),
        Column("state"),
        Column("provides", long="wrap"),
    )
    show([table(columns, rows)])


def _summary(provides: tuple[str, ...]) -> str:
    """Return ``schedule: constant, cosine; observer`` for what a plugin provides."""
    families: dict[str, list[str]] = {}
    for part in provides:
        family, _, name = part.partition(" ")
        families.setdefault(family, []).append(name)
    return "; ".join(
        f"{family}: {', '.join(names)}" if names != [""] else family
        for family, names in families.items()
    )


@app.command("policies", epilog="Example: secateur policies cnn-80 > mine.toml")
def policies(
    name: Annotated[
        str | None, typer.Argument(help="Print this policy's file, as a start for your own.")
    ] = None,
    json: Json = False,
) -> None:
    """List the ready policies, or print one."""
    known = ready.names()
    if name is not None and name not in known:
        raise PolicyError(f"no ready policy {shown(name)}: {nearest(name, known)}")
    if json:
        chosen = known if name is None else (name,)
        show_json([{"name": each, "about": ready.about(each)} for each in chosen])
    elif name is not None:
        typer.echo(ready.text(name), nl=False)
    else:
        show([Lines(each, [" ".join(ready.about(each).split())], hang=False) for each in known])
