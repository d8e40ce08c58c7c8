"""What a change of a policy does, in words: a comment for its review, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from secateur.compare.plans import Pair, end_in_words, plan_changes
from secateur.compare.policies import Change, policy_changes
from secateur.components.words import method_in_words, table_in_words
from secateur.errors import listed
from secateur.policy.policy import Policy
from secateur.run.plan import Plan
from secateur.run.planned import PlannedWeight
from secateur.tables import format_sparsity
from secateur.tables.markdown import cell, code, escaped

_MOST_CHANGES = 40
_MOST_WEIGHTS = 40


def review_comment(
    before: Policy, after: Policy, plans: Sequence[Plan] = (), model: str = ""
) -> str:
    """Return what a change of a policy does, in words, as Markdown.

    Args:
        before: The policy as it was.
        after: The policy as it will be.
        plans: Both on one model; empty without a model.
        model: What the model is called.

    Example:
        >>> half, most = ({"kind": "one_shot", "final_sparsity": each} for each in (0.5, 0.8))
        >>> policies = [Policy.parse({"schedule": each}) for each in (half, most)]
        >>> print(review_comment(*policies).splitlines()[-1])
        - Rule `everything`: `schedule.final_sparsity` from 0.5 to 0.8.

    """
    parts = [_heading(before, after), *_plan_in_words(plans, model)]
    changes = list(_changes_in_words(policy_changes(before, after), after))
    if changes:
        more = len(changes) - _MOST_CHANGES
        listing = [f"- {line}" for line in changes[:_MOST_CHANGES]]
        parts.append("\n".join([*listing, *([f"- and {more:,} more changes"] if more > 0 else [])]))
    if plans:
        parts += _weights(plan_changes(*plans))
        new = [note for note in plans[1].notes if note not in plans[0].notes]
        parts += [f"> **Note:** {escaped(note)}" for note in new[:5]]
    return "\n\n".join(parts)


def _heading(before: Policy, after: Policy) -> str:
    if before.fingerprint == after.fingerprint:
        verdict = f"Both give the same masks: fingerprint {code(after.fingerprint[:12])}."
    else:
        prints = (code(each.fingerprint[:12]) for each in (before, after))
        verdict = f"The masks change: fingerprint {' to '.join(prints)}."
    names = (code(each.name or each.source) for each in (before, after))
    return f"### Policy {' to '.join(dict.fromkeys(names))}\n\n{verdict}"


def _plan_in_words(plans: Sequence[Plan], model: str) -> Iterator[str]:
    if plans:
        old, new = plans
        if old.at_most or new.at_most:
            yield f"In {code(model)}, the values decide how many of {new.size:,} weights stay."
            return
        sparsities = (format_sparsity(each.sparsity) for each in plans)
        about = "about " if old.about or new.about else ""
        if old.kept == new.kept:
            yield (
                f"In {code(model)}, {about}{new.kept:,} of {new.size:,} weights stay, as before "
                f"(sparsity {format_sparsity(new.sparsity)})."
            )
        else:
            yield (
                f"In {code(model)}, {about}**{new.kept:,}** of {new.size:,} weights stay instead "
                f"of {old.kept:,} ({new.kept - old.kept:+,}): sparsity {' to '.join(sparsities)}."
            )


def _changes_in_words(changes: Sequence[Change], after: Policy) -> Iterator[str]:
    """Yield a line for each change; one that several rules share is one line."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for change in changes:
        key = (change.setting, repr(change.before), repr(change.after))
        if change.setting in ("rule", "place"):
            yield _of_rule(change, after)
        else:
            alike.setdefault(key, []).append(change.rule)
    first = {(each.setting, repr(each.before), repr(each.after)): each for each in changes}
    for key, rules in alike.items():
        change = first[key]
        names = listed((code(rule) for rule in rules), 5)
        word = "Rules" if len(rules) > 1 else "Rule"
        yield f"{word} {names}: {code(change.setting)} {_from_to(change.before, change.after)}."


def _from_to(before: Any, after: Any) -> str:
    if before is None:
        return f"is now {_value(after)}"
    if after is None:
        return f"is gone; it was {_value(before)}"
    return f"from {_value(before)} to {_value(after)}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else code(str(value))


def _of_rule(change: Change, after: Policy) -> str:
    name = code(change.rule)
    if change.setting == "place":
        return f"Rule {name} moves from place {change.before} to {change.after}."
    if change.after is None:
        return f"Rule {name} is gone."
    rule = after.resolved_rules[int(str(change.after).removeprefix("rule ")) - 1]
    written = after.written_at(("rules", rule.number - 1))
    where = "" if written.line is None else f" ({escaped(str(written))})"
    matched = table_in_words(rule.match.normalized()) or "everything"
    how = escaped(method_in_words(rule.method))
    return f"Rule {name}{where} is new: matches {escaped(matched)}; {how}."


def _weights(pairs: Sequence[Pair]) -> Iterator[str]:
    if not pairs:
        yield "No weight changes."
        return
    kinds = [_kind(*pair) for pair in pairs]
    counts = [f"{kinds.count(kind):,} {kind}" for kind in dict.fromkeys(kinds)]
    yield f"{len(pairs):,} weight{'s change' if len(pairs) > 1 else ' changes'}: {listed(counts)}."
    rows = ["| weight | size | before | after |", "| --- | ---: | --- | --- |"]
    for old, new in pairs[:_MOST_WEIGHTS]:
        spec = (new or old).spec  # type: ignore[union-attr]
        rows.append(f"| {cell(code(spec.name))} | {spec.size:,} | {_end(old)} | {_end(new)} |")
    yield "\n".join(rows)
    if len(pairs) > _MOST_WEIGHTS:
        yield f"and {len(pairs) - _MOST_WEIGHTS:,} more weights"


def _end(planned: PlannedWeight | None) -> str:
    return "-" if planned is None else end_in_words(planned)


def _kind(old: PlannedWeight | None, new: PlannedWeight | None) -> str:
    if old is None or new is None:
        return "in one model only"
    if old.pruned != new.pruned:
        return "newly pruned" if new.pruned else "dense now"
    if old.target is None or new.target is None:
        return "ranked otherwise"
    return "sparser" if new.target > old.target else "denser"
