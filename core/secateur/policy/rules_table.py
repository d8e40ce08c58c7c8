"""What is printed of the rules of a policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from secateur.components.method import Method
from secateur.components.words import method_in_words, table_in_words
from secateur.policy.origins import Key
from secateur.policy.reading.lines import Written
from secateur.policy.rule import ResolvedRule
from secateur.tables import Column, Table


def rules_table(
    rules: Sequence[ResolvedRule],
    written_at: Callable[[Sequence[Key]], Written] | None,
    decided: Mapping[int | None, int] | None,
    methods: Mapping[int, Method] | None,
) -> Table:
    """Return a table of rules with every setting.

    Args:
        rules: The rules.
        written_at: Where in which file a part of the policy is written; None for no file.
        decided: How many weights each rule decides, by its number, for a model; without it, what
            the rules match is shown.
        methods: How a rule prunes in a run of known length, where that is known.

    """
    columns = [
        Column("rule", long="shorten", least=10),
        Column("match", long="wrap") if decided is None else Column("weights", right=True),
        Column("how its weights are pruned", long="wrap"),
    ]
    if written_at:
        columns.insert(1, Column("written in", long="shorten", least=16))
    rows: list[tuple[str, ...]] = []
    for rule in rules:
        match = table_in_words(rule.match.normalized()) or "all"
        weights = match if decided is None else f"{decided.get(rule.number, 0):,}"
        method = (methods or {}).get(rule.number, rule.method)
        written = (str(written_at(("rules", rule.number - 1))),) if written_at else ()
        rows.append((rule.label, *written, weights, method_in_words(method)))
    return Table(tuple(columns), rows)
