"""``secateur diff``: two policies, one policy on twins, or two checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from secateur.checkpoints import SUFFIXES, open_checkpoint
from secateur.cli.app import Json, Kind, Set, TotalSteps, app, load_policy
from secateur.cli.model_files import is_model_file, open_model, open_weights
from secateur.cli.output import progress, show, show_json, table
from secateur.compare.masks import mask_changes
from secateur.compare.plans import (
    Pair,
    end_in_words,
    plan_changes,
    rule_counts,
    twin_changes,
)
from secateur.compare.policies import policy_changes
from secateur.compare.tensors import tensor_change
from secateur.compare.words import review_comment
from secateur.errors import PolicyError
from secateur.files import read_bounded
from secateur.policy import ready
from secateur.policy.formats import parse
from secateur.policy.limits import MAX_BYTES
from secateur.policy.policy import Policy
from secateur.run.plan import Plan
from secateur.run.planned import PlannedWeight
from secateur.run.resolve import resolve
from secateur.tables import Column, Lines, Paragraph, Table, View
from secateur.tables.markdown import as_markdown

_CHANGES = (
    Column("rule", long="wrap"),
    Column("setting", long="shorten"),
    Column("before", long="wrap"),
    Column("after", long="wrap"),
)
_PAIRS = (
    Column("weight", long="shorten"),
    Column("before", long="shorten", least=14),
    Column("after", long="shorten", least=14),
)
_MASKS = (
    Column("weight in A", long="shorten"),
    Column("weight in B", long="shorten"),
    Column("mask bits", right=True, drop=1),
    Column("differing", right=True),
)
_TENSORS = (
    Column("tensor", long="shorten"),
    Column("shape before", long="shorten", drop=2),
    Column("shape after", long="shorten", drop=1),
    Column("zeros before", right=True),
    Column("zeros after", right=True),
    Column("changed", right=True),
)

_WANTED = (
    "wanted two policies (and a --model), one policy and two --model, one policy and --set, or "
    "two model files or more"
)
EVERYTHING = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
"""The policy of twins that are compared without one: every weight is matched."""


class Format(StrEnum):
    """How differences are printed."""

    TEXT = "text"
    MARKDOWN = "markdown"


@dataclass(frozen=True)
class Difference:
    """What differs between two things.

    Attributes:
        differs: Whether anything does.
        plain: The differences as plain values, for JSON.
        view: The differences as tables.
        words: The same in Markdown, where that is more than the tables.

    """

    differs: bool
    plain: Any
    view: View
    words: str | None = None


@app.command(
    "diff",
    epilog="Example: secateur diff policy.toml theirs.toml --format markdown",
)
def compare(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[A [B]]", help="Two policies, or one; or model files, from two."),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(help="A model to compare two policies on; or two, to compare one policy on."),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            "--map", help="A TOML table of names: those of A's layers or weights to those of B."
        ),
    ] = None,
    settings: Set = None,
    kind: Kind = None,
    total_steps: TotalSteps = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 if anything differs.")
    ] = False,
    format_: Annotated[
        Format, typer.Option("--format", help="Markdown is for the comment of a review.")
    ] = Format.TEXT,
    json: Json = False,
) -> None:
    """Show what differs.

    A.toml B.toml [--model M]: rules that changed, and what that does to each weight of M.

    A.toml --set KEY=VALUE [--model M]: what a changed setting does.

    POLICY --model A --model B: weights of twins, in two frameworks, that one policy treats
    differently.  Without a policy: weights that one of them lacks.

    A.safetensors B.safetensors: zeros and changed values, tensor by tensor.

    A.keras B.onnx C.pt [--map names.toml]: mask bits that differ between twins, weight by weight.
    """
    if json and format_ is Format.MARKDOWN:
        raise typer.BadParameter("--json and --format markdown contradict each other")
    found = _found(files or [], model or [], names, settings, kind, total_steps)
    if json:
        show_json(found.plain)
    elif format_ is Format.MARKDOWN:
        typer.echo(found.words or as_markdown(found.view))
    else:
        show(found.view)
    if exit_code and found.differs:
        raise typer.Exit(1)


def _found(
    given: list[str],
    models: list[Path],
    names: Path | None,
    settings: Set,
    kind: Kind,
    total_steps: int | None,
) -> Difference:
    if len(given) == 2 and not models and all(is_model_file(Path(f)) for f in given):
        if names is None and all(Path(f).suffix in SUFFIXES for f in given):
            return _checkpoints(Path(given[0]), Path(given[1]))
        return _masks(Path(given[0]), Path(given[1]), _read_names(names))
    if len(given) > 2 and not models and all(is_model_file(Path(f)) for f in given):
        return _several([Path(f) for f in given], _read_names(names))
    if held := [name for name in given if is_model_file(Path(name)) and name not in ready.names()]:
        raise typer.BadParameter(f"{held[0]} is a model, where a policy is compared; {_WANTED}")
    if len(models) <= 1 and (len(given) == 2 or (len(given) == 1 and settings)):
        before = load_policy(given[0], settings if len(given) == 2 else None)
        after = load_policy(given[-1], settings)
        plans = []
        if models:
            binding = open_model(models[0], kind).binding
            plans = [resolve(policy, binding, total_steps) for policy in (before, after)]
        return _policies(before, after, plans, str(models[0]) if models else "")
    if len(given) <= 1 and len(models) == 2:
        policy = _optional(load_policy(given[0], settings) if given else Policy.parse(EVERYTHING))
        return _twins([_plan_of(path, policy, kind, total_steps) for path in models])
    raise typer.BadParameter(_WANTED)


def _plan_of(path: Path, policy: Policy, kind: Kind, total_steps: int | None) -> Plan:
    try:
        return resolve(policy, open_model(path, kind).binding, total_steps)
    except PolicyError as error:
        raise PolicyError(f"{path}: {error}") from error


def _optional(policy: Policy) -> Policy:
    """Return the policy with no rule required, so that one without a match is shown."""
    rules = [rule.model_copy(update={"required": False}) for rule in policy.rules]
    return policy.model_copy(update={"rules": tuple(rules)})


def _policies(before: Policy, after: Policy, plans: list[Plan], model: str) -> Difference:
    changes = policy_changes(before, after)
    pairs = plan_changes(*plans) if plans else []
    kept = [plan.kept for plan in plans]
    plain = {
        "fingerprints": [before.fingerprint, after.fingerprint],
        "rules": [vars(change) for change in changes],
        "weights": _as_dicts(pairs),
        "kept": kept or None,
    }
    parts: list[Table | Paragraph] = []
    if changes:
        rows = [(c.rule, c.setting, c.before, c.after) for c in changes]
        parts.append(table(_CHANGES, rows))
    if pairs:
        parts.append(_pairs_table(pairs, (before, after)))
    same = before.fingerprint == after.fingerprint
    lines = [
        ("the same masks: both are" if same else "other masks:")
        + f" {before.fingerprint[:12]}"
        + ("" if same else f" and {after.fingerprint[:12]}")
    ]
    if plans:
        most = "about " if any(plan.about for plan in plans) else ""
        most = "at most, " if any(plan.at_most for plan in plans) else most
        lines.append(f"kept: {most}{kept[0]:,} before, {kept[1]:,} after ({kept[1] - kept[0]:+,})")
    words = review_comment(before, after, plans, model)
    return Difference(bool(changes) or not same, plain, [*parts, Paragraph(lines)], words)


def _twins(plans: list[Plan]) -> Difference:
    pairs = twin_changes(plans[0], plans[1])
    counts = rule_counts(plans)
    adapters = [plan.adapter for plan in plans]
    rules = [{"rule": number, "weights": each} for number, each in counts]
    plain = {"adapters": adapters, "rules": rules, "weights": _as_dicts(pairs)}
    policy = plans[0].policy
    rows = [
        (policy.rule_label(n), each[0], each[1], "only in one" if 0 in each and any(each) else "")
        for n, each in counts
    ]
    columns = (
        Column("rule", long="shorten", least=10),
        Column(f"weights in A ({adapters[0]})", right=True),
        Column(f"weights in B ({adapters[1]})", right=True),
        Column(""),
    )
    alike = Paragraph(["every weight has its twin, and the policy treats both alike"])
    found = _pairs_table(pairs, (policy, policy)) if pairs else alike
    return Difference(bool(pairs), plain, [table(columns, rows), found])


def _pairs_table(pairs: list[Pair], policies: tuple[Policy, Policy]) -> Table:
    rows = [
        (_name(pair), *(_outcome(*each) for each in zip(pair, policies, strict=True)))
        for pair in pairs
    ]
    return table(_PAIRS, rows)


def _name(pair: Pair) -> str:
    names = dict.fromkeys(planned.spec.name for planned in pair if planned)
    return " / ".join(names)


def _outcome(planned: PlannedWeight | None, policy: Policy) -> str:
    """Return what decides a weight, and where that leads."""
    if planned is None:
        return "no such weight"
    rule = "no rule" if planned.rule is None else f"rule {policy.rule_label(planned.rule)}"
    return f"{rule}, {end_in_words(planned)}"


def _as_dicts(pairs: list[Pair]) -> list[dict[str, Any]]:
    def one(planned: PlannedWeight | None) -> dict[str, Any] | None:
        if planned is None:
            return None
        outcome = {"rule": planned.rule, "pruned": planned.pruned, "target": planned.target}
        return {"name": planned.spec.name, "size": planned.spec.size, **outcome}

    return [{"before": one(before), "after": one(after)} for before, after in pairs]


def _read_names(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    table = parse(read_bounded(path, MAX_BYTES), path.suffix, str(path))
    if not all(isinstance(name, str) for name in (*table, *table.values())):
        raise PolicyError(f'{path}: wanted names alone, such as conv2d = "features.0"')
    return table


def _masks(first: Path, second: Path, names: dict[str, str]) -> Difference:
    changes = mask_changes(open_weights(first), open_weights(second), names)
    rows = [(c.name, c.other, f"{c.size:,}", c.differing) for c in changes]
    unpaired = sum(change.differing is None for change in changes)
    differing = sum(change.differing or 0 for change in changes)
    alone = f"; {unpaired} weights have no twin of their shape, see --map" if unpaired else ""
    line = Paragraph([f"{differing:,} mask bits differ{alone}"])
    plain = [vars(change) for change in changes]
    return Difference(bool(differing or unpaired), plain, [table(_MASKS, rows), line])


def _several(paths: list[Path], names: dict[str, str]) -> Difference:
    """Compare the first of several files with each of the others."""
    found = {str(other): _masks(paths[0], other, names) for other in paths[1:]}
    view: list[Table | Lines | Paragraph] = []
    for other, each in found.items():
        view += [Paragraph([f"{paths[0]} and {other}:"]), *each.view]
    plain = {other: each.plain for other, each in found.items()}
    return Difference(any(each.differs for each in found.values()), plain, view)


def _checkpoints(first: Path, second: Path) -> Difference:
    before, after = open_checkpoint(first), open_checkpoint(second)
    names = list(dict.fromkeys([*before.tensors, *after.tensors]))
    changes = []
    with progress("comparing", len(names)) as advance:
        for name in names:
            changes.append(tensor_change(before, after, name))
            advance(1)
    rows = [
        (c.name, *("x".join(map(str, s)) if s else s for s in c.shapes), *c.zeros, c.changed)
        for c in changes
    ]
    differs = any(change.changed or change.shapes[0] != change.shapes[1] for change in changes)
    return Difference(differs, [vars(change) for change in changes], [table(_TENSORS, rows)])
