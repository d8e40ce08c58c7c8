"""The policy: ordered rules, of which the first that matches a weight decides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError, model_validator

from secateur import policy_files
from secateur.component import Component, Table
from secateur.criteria import Criterion, Magnitude
from secateur.distributions import Distribution, Uniform
from secateur.errors import PluginError
from secateur.matching import Match
from secateur.patterns import Pattern, Unstructured
from secateur.policy_errors import explain
from secateur.registry import registry
from secateur.schedules import Constant, OneShot, Schedule


def _component(family: str) -> BeforeValidator:
    """Return a validator that turns ``{kind = ..., ...}``, or a kind alone, into a component."""

    def build(value: Any) -> Any:
        if isinstance(value, Component) or value is None:
            return value
        table = {"kind": value} if isinstance(value, str) else value
        if not isinstance(table, Mapping) or not isinstance(table.get("kind"), str):
            raise ValueError(f'wanted a {family}: a table with kind = "...", or the name alone')
        try:
            component = registry().component(family, table["kind"])
        except PluginError as error:
            raise ValueError(str(error)) from error
        return component.model_validate({k: v for k, v in table.items() if k != "kind"})

    return BeforeValidator(build)


_as_table = PlainSerializer(lambda component: component and component.to_dict())
AnySchedule = Annotated[Schedule | None, _component("schedule"), _as_table]
AnyCriterion = Annotated[Criterion | None, _component("criterion"), _as_table]
AnyPattern = Annotated[Pattern | None, _component("pattern"), _as_table]
AnyDistribution = Annotated[Distribution | None, _component("distribution"), _as_table]


@dataclass(frozen=True)
class Method:
    """How the weights of one rule are pruned, every setting known."""

    schedule: Schedule
    criterion: Criterion
    pattern: Pattern
    distribution: Distribution

    @property
    def final(self) -> float:
        """The sparsity that it ends at: the pattern's, where that fixes one."""
        return self.target(self.schedule.final)

    def target(self, scheduled: float) -> float:
        """Return the target when the schedule says `scheduled`; a pattern may fix it."""
        fixed = self.pattern.fixed_sparsity
        return scheduled if fixed is None else float(fixed)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as tables of a policy file."""
        return {field.name: getattr(self, field.name).to_dict() for field in fields(self)}


@dataclass(frozen=True)
class SettledRule:
    """A rule with every setting filled in; without a method it keeps its weights dense."""

    number: int
    match: Match
    required: bool
    method: Method | None


class Rule(Table):
    """Which weights, and how they are pruned; what it leaves out the policy's defaults say.

    `prune = false` keeps what matches dense.  A rule that matches nothing is an error,
    unless `required` is false.  `id` names the rule for policies that extend this one.
    """

    id: str | None = None
    match: Match = Match()
    prune: bool = True
    required: bool = True
    schedule: AnySchedule = None
    criterion: AnyCriterion = None
    pattern: AnyPattern = None
    distribution: AnyDistribution = None


class Policy(Table):
    """What to prune, how, how far and when.

    >>> policy = Policy.parse({"schedule": {"kind": "one_shot", "final_sparsity": 0.8}})
    >>> policy.schedule.sparsity(0)
    0.8
    >>> policy.rules, len(policy.fingerprint)
    ((), 64)
    """

    version: Literal[1] = 1
    name: str | None = None
    schedule: AnySchedule = None
    criterion: Annotated[Criterion, _component("criterion"), _as_table] = Magnitude()
    pattern: Annotated[Pattern, _component("pattern"), _as_table] = Unstructured()
    distribution: Annotated[Distribution, _component("distribution"), _as_table] = Uniform()
    rules: Annotated[tuple[Rule, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _rules_are_complete(self) -> Self:
        for settled in self.settled_rules:
            if settled.method and settled.method.pattern.fixed_sparsity is not None:
                _check_fixed(settled.method, f"rule {settled.number}: ")
        return self

    @cached_property
    def settled_rules(self) -> tuple[SettledRule, ...]:
        """The rules with every setting filled in; no rules means one that matches all."""
        return tuple(
            SettledRule(number, rule.match, rule.required, self._method(number, rule))
            for number, rule in enumerate(self.rules or (Rule(),), 1)
        )

    def _method(self, number: int, rule: Rule) -> Method | None:
        if not rule.prune:
            return None
        schedule = rule.schedule or self.schedule
        if schedule is None:
            raise ValueError(
                f"rule {number} has no schedule, and there is no default one; add [schedule]"
            )
        return Method(
            schedule,
            rule.criterion or self.criterion,
            rule.pattern or self.pattern,
            rule.distribution or self.distribution,
        )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a policy file: .toml, .yaml or .json, with all that it extends.

        Raises PolicyError that names the file, the rule, the key and what exists.
        """
        return cls._parse(policy_files.read(Path(path)), str(path))

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Self:
        """Make a policy of a mapping, laid out as the policy file.

        >>> Policy.parse({"schedule": {"kind": "one_shot"}})
        Traceback (most recent call last):
        secateur.errors.PolicyError: policy: schedule.final_sparsity: field required
        """
        return cls._parse(policy_files.extend(table, Path()), "policy")

    @classmethod
    def _parse(cls, table: Mapping[str, Any], source: str) -> Self:
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            raise explain(error, source) from None

    def dump(self, path: str | Path) -> None:
        """Write the policy to a file in the format that its ending names.

        The file is complete: what it was extended from is written out.
        """
        policy_files.write(self.to_dict(), Path(path))

    def to_dict(self) -> dict[str, Any]:
        """Return the mapping that `parse` makes this policy of."""
        table = self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"rules"})
        rules = [
            rule.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
            for rule in self.rules
        ]
        return {**table, "rules": rules}

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of what decides the masks, in hexadecimal.

        It does not depend on the file's format, the order of keys, names and ids, or whether
        defaults are written out.
        """
        text = json.dumps(self._normalised(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def _normalised(self) -> dict[str, Any]:
        rules = [
            {"match": rule.match.normalised(), "method": rule.method and rule.method.to_dict()}
            for rule in self.settled_rules
        ]
        return {"version": self.version, "rules": rules}


def _check_fixed(method: Method, where: str) -> None:
    pattern, schedule = method.pattern, method.schedule
    if not isinstance(schedule, (Constant, OneShot)):
        raise ValueError(
            f"{where}pattern {pattern.kind!r} has a fixed sparsity, so it takes a constant or "
            f"one_shot schedule, not {schedule.kind!r}; give the rule a schedule of its own"
        )


PolicyLike = Policy | str | Path | Mapping[str, Any]
"""What is taken wherever a policy is: a Policy, a path, a mapping, or a ready policy's name."""


def as_policy(policy: PolicyLike) -> Policy:
    """Return the policy that is meant."""
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, Mapping):
        return Policy.parse(policy)
    return Policy.load(policy)
