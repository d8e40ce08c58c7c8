"""A policy resolved on one model: what will happen to each weight, before anything does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from secateur.adapter import Skipped, Weight, WeightSpec
from secateur.errors import listed
from secateur.hooks.events import ObservedRun, ObservedWeight
from secateur.policy.policy import Policy
from secateur.run.planned import PlannedWeight, RuleWeights, are_exact, kept_elements
from secateur.tables import (
    Column,
    Lines,
    Paragraph,
    Printed,
    Table,
    View,
    format_sparsity,
    stay_line,
)

HOW_TO_UNFOLD = "--all or to_text(fold=False) lists each"
_MOST_TIES = 5


@dataclass(frozen=True, repr=False)
class Plan(Printed):
    """The outcome of a policy on one model, weight by weight; prints as a table.

    Attributes:
        policy: The policy.
        adapter: The name of the adapter that bound the model.
        weights: Every prunable weight and what happens to it, in the order of the model.
        skipped: The layers that the adapter leaves dense, and why.
        rule_weights: The weights that will be pruned, rule by rule.
        parameters: The number of all parameters of the model; None where it is not known.
        schedule_notes: What schedules do not reach, or do in fewer updates than they seem to.
        policy_notes: What else of the policy probably does not do what was meant.
        total_steps: The length of the run that was planned for; None where it is not known.
        kept_after: The number of elements of prunable weights that are kept after such a run,
            counted as `kept` is.

    Example:
        >>> import numpy as np
        >>> import secateur
        >>> policy = {"schedule": {"kind": "one_shot", "final_sparsity": 0.75}}
        >>> plan = secateur.plan({"fc": np.ones((2, 4))}, policy)
        >>> plan.weights[0].target, plan.kept, plan.sparsity, plan.notes
        (0.75, 2, 0.75, ())

    """

    policy: Policy
    adapter: str
    weights: tuple[PlannedWeight, ...]
    skipped: tuple[Skipped, ...]
    rule_weights: tuple[RuleWeights, ...]
    parameters: int | None = None
    schedule_notes: tuple[str, ...] = ()
    policy_notes: tuple[str, ...] = ()
    total_steps: int | None = None
    kept_after: int | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, such as a schedule that does not end within the run."""
        return self.schedule_notes + self.policy_notes

    @property
    def size(self) -> int:
        """The number of elements of all prunable weights together."""
        return sum(planned.spec.size for planned in self.weights)

    @property
    def kept(self) -> int:
        """The number of elements of prunable weights that stay in the end.

        Exact where the groups that compete with one another have one size; otherwise it is
        counted in single weights, and `about`.  Where a rule prunes by a threshold, its values
        say how many stay, and it is the most.
        """
        targets = self._targets
        total = sum(planned.spec.size for planned in self.weights if not planned.pruned)
        return total + sum(
            kept_elements(rule.method, rule.specs, targets, rule.method.final)
            for rule in self.rule_weights
        )

    @property
    def _targets(self) -> dict[str, float | None]:
        return {planned.spec.name: planned.target for planned in self.weights}

    @property
    def about(self) -> bool:
        """Whether `kept` is about what stays, since values decide among groups of other sizes."""
        targets = self._targets
        return not self.at_most and not all(
            are_exact(rule.method, rule.specs, targets) for rule in self.rule_weights
        )

    @property
    def at_most(self) -> bool:
        """Whether `kept` is the most, since values decide how many weights of a rule stay."""
        return any(rule.by_values for rule in self.rule_weights)

    @property
    def sparsity(self) -> float:
        """The fraction of all prunable weights together that is pruned in the end."""
        return 1 - self.kept / self.size if self.size else 0.0

    @property
    def memory(self) -> int:
        """The bytes that criteria keep from step to step, of all weights together."""
        return sum(
            rule.memory_per_weight * sum(spec.size for spec in rule.specs)
            for rule in self.rule_weights
        )

    @property
    def left_dense(self) -> int:
        """The number of parameters in layers that the adapter leaves dense."""
        return sum(skipped.size for skipped in self.skipped)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain values, for JSON.

        Example:
            >>> import numpy as np
            >>> import secateur
            >>> policy = {"schedule": {"kind": "one_shot", "final_sparsity": 0.75}}
            >>> secateur.plan({"fc": np.ones((2, 4))}, policy).to_dict()["weights"][0]["target"]
            0.75

        """
        return {
            "policy": self.policy.name,
            "fingerprint": self.policy.fingerprint,
            "adapter": self.adapter,
            "parameters": self.parameters,
            "left_dense": self.left_dense,
            "sparsity": self.sparsity,
            "total_steps": self.total_steps,
            "kept_after": self.kept_after,
            **({"at_most": True} if self.at_most else {}),
            **({"about": True} if self.about else {}),
            "rules": self._rules_as_dicts(),
            **({"memory": self.memory} if self.memory else {}),
            "weights": [
                {
                    "name": planned.spec.name,
                    "kind": planned.spec.kind,
                    "role": planned.spec.role,
                    "shape": list(planned.spec.shape),
                    "size": planned.spec.size,
                    "trainable": planned.spec.trainable,
                    "tied_to": list(_tied_names(planned.spec)),
                    "rule": planned.rule,
                    "pruned": planned.pruned,
                    "target": planned.target,
                }
                for planned in self.weights
            ],
            "skipped": [
                {"name": each.name, "reason": each.reason, "size": each.size}
                for each in self.skipped
            ],
            "notes": list(self.notes),
        }

    def _rules_as_dicts(self) -> list[dict[str, Any]]:
        decided = Counter(planned.rule for planned in self.weights)
        found = []
        for rule in self.policy.resolved_rules:
            where = self.policy.written_at(("rules", rule.number - 1))
            place = {"file": where.file, "line": where.line}
            weights = decided.get(rule.number, 0)
            found.append({"rule": rule.number, "id": rule.id, **place, "weights": weights})
        return found

    def observed(self, weights: Iterable[Weight]) -> ObservedRun:
        """Return what observers are told of a run by this plan.

        Args:
            weights: The weights of the bound model.

        """
        methods = {spec.name: rule.method for rule in self.rule_weights for spec in rule.specs}
        planned = {each.spec.name: each for each in self.weights}
        found = {
            weight.spec.name: ObservedWeight(
                weight,
                planned[weight.spec.name].rule,
                methods.get(weight.spec.name),
                planned[weight.spec.name].target,
            )
            for weight in weights
        }
        return ObservedRun(self.adapter, MappingProxyType(found), self.policy.to_dict)

    def __repr__(self) -> str:
        stay = stay_line(self.kept, self.size, self.at_most, self.about)
        return f"<Plan of {len(self.weights)} weights, policy {self.policy.title}: {stay}>"

    def view(self, fold: bool = True, notes: Sequence[str] = ()) -> View:
        """Return what is printed of the plan.

        Args:
            fold: Whether what repeats is shown once, and counted.
            notes: More that the reader should know.

        """
        parts = (
            self._weights_table(),
            self._rules_table(),
            self._ties(fold),
            self._left_dense(fold),
            Paragraph([f"note: {note}" for note in self.notes] + list(notes), "note"),
            Paragraph(
                [
                    *self._by_values_lines(),
                    *self._memory_lines(),
                    *self._left_dense_line(),
                    self._policy_line(),
                ]
            ),
            Paragraph(
                [
                    *self._reached_line(),
                    stay_line(self.kept, self.size, self.at_most, self.about),
                ],
                "result",
            ),
        )
        return [part for part in parts if isinstance(part, Table) or part.lines]

    def _weights_table(self) -> Table:
        columns = [
            Column("weight", long="shorten"),
            Column("kind", drop=2),
            Column("shape", drop=3),
            Column("size", right=True),
            Column("rule", long="shorten", least=10),
            Column("target", right=True),
        ]
        rows = [self._row(planned) for planned in self.weights]
        if not all(planned.spec.trainable for planned in self.weights):
            columns.append(Column("note"))
            for row, planned in zip(rows, self.weights, strict=True):
                row.append("" if planned.spec.trainable else "frozen")
        return Table(tuple(columns), rows)

    def _row(self, planned: PlannedWeight) -> list[str]:
        spec = planned.spec
        shape = "x".join(map(str, spec.shape))
        rule = self.policy.rule_label(planned.rule)
        row = [spec.name, spec.kind, shape, f"{spec.size:,}", rule]
        method = planned.rule and self.policy.resolved_rules[planned.rule - 1].method
        if not method:
            return [*row, "dense"]
        end = method.decided_by if planned.target is None else format_sparsity(planned.target)
        return [*row, end]

    def _rules_table(self) -> Table:
        decided = Counter(planned.rule for planned in self.weights)
        methods = {rule.rule: rule.method for rule in self.rule_weights}
        return self.policy.rules_table(decided, methods)

    def _ties(self, fold: bool) -> Lines:
        tied = [(planned.spec.name, _tied_names(planned.spec)) for planned in self.weights]
        lines = [f"{name} is also {listed(also)}" for name, also in tied if also]
        if fold and len(lines) > _MOST_TIES:
            lines[_MOST_TIES:] = [f"and {len(lines) - _MOST_TIES} more"]
        return Lines("tied:", lines)

    def _left_dense(self, fold: bool) -> Lines:
        if not fold:
            return Lines("left dense:", [_skipped_line(each) for each in self.skipped])
        alike: dict[str, list[Skipped]] = {}
        for each in self.skipped:
            alike.setdefault(each.reason, []).append(each)
        is_folded = len(alike) < len(self.skipped)
        hint = f" ({HOW_TO_UNFOLD})" if is_folded else ""
        return Lines(f"left dense{hint}:", [_folded_line(each) for each in alike.values()])

    def _by_values_lines(self) -> Iterator[str]:
        for rule in self.rule_weights:
            if rule.by_values:
                by = rule.method.decided_by
                yield f"rule {rule.rule} prunes {by}: its values decide how many weights stay"

    def _memory_lines(self) -> Iterator[str]:
        for rule in self.rule_weights:
            if rule.memory:
                each, size = rule.memory_per_weight, sum(spec.size for spec in rule.specs)
                yield (
                    f"rule {rule.rule}: criterion {rule.method.criterion.kind!r} keeps {each} "
                    f"bytes a weight, {each * size:,} bytes"
                )

    def _left_dense_line(self) -> Iterator[str]:
        if self.left_dense:
            of = "" if self.parameters is None else f" of {self.parameters:,}"
            yield f"{self.left_dense:,}{of} parameters are in layers left dense"

    def _reached_line(self) -> Iterator[str]:
        if self.at_most:
            return
        if self.total_steps is not None and self.kept_after is not None:
            reached = 1 - self.kept_after / self.size if self.size else 0.0
            if self.kept_after == self.kept:
                end = f"reached: sparsity {format_sparsity(reached)}"
            else:
                final = format_sparsity(self.sparsity)
                end = f"sparsity {format_sparsity(reached)} is reached, not {final}"
            about = "about " if self.about else ""
            steps = f"after {self.total_steps:,} steps"
            yield f"{steps} {about}{self.kept_after:,} weights are left; {end}"

    def _policy_line(self) -> str:
        return f"policy {self.policy.title}, adapter {self.adapter}"


def _tied_names(spec: WeightSpec) -> tuple[str, ...]:
    """Return the other names of a tied weight, each in its shortest form."""
    names = {spec.name, *spec.aliases}
    longer = {f"{name}:{spec.role}" for name in names}
    return tuple(alias for alias in spec.aliases if alias not in longer)


def _folded_line(alike: Sequence[Skipped]) -> str:
    """Return the line for what is left dense for one reason."""
    if len(alike) == 1:
        return _skipped_line(alike[0])
    return f"{len(alike):,} x {alike[0].reason}{_size(sum(each.size for each in alike))}"


def _skipped_line(skipped: Skipped) -> str:
    return f"{skipped.name}: {skipped.reason}{_size(skipped.size)}"


def _size(parameters: int) -> str:
    return f" ({parameters:,} parameters)" if parameters else ""
