"""The policy: ordered rules, of which the first that matches a weight decides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from secateur.components.component import Component, Table
from secateur.components.criteria import Criterion, Magnitude
from secateur.components.distributions import Distribution, Uniform
from secateur.components.method import Method
from secateur.components.patterns import Pattern, Unstructured
from secateur.components.schedules import Constant, OneShot, Schedule
from secateur.errors import PluginError
from secateur.hooks.registry import registry
from secateur.policy import files as policy_files
from secateur.policy.match import Match
from secateur.policy.messages import explain, located


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
        try:
            return component.model_validate({k: v for k, v in table.items() if k != "kind"})
        except ValueError:
            raise
        except Exception as error:  # whatever a plugin's own checks raise
            owner = registry().owner(component)
            raise ValueError(f"plugin {owner}: {type(error).__name__}: {error}") from error

    return BeforeValidator(build)


def _whole(value: Any) -> Any:
    # True and 1.0 are equal to 1, which is all that a literal asks for
    if type(value) is not int:
        raise ValueError(f"wanted the integer 1, not {value!r:.80}")
    return value


def _installed(names: tuple[str, ...]) -> tuple[str, ...]:
    known = {word for p in registry().plugins.values() for word in (p.name, p.distribution) if word}
    for name in names:
        if name not in known:
            failed = [p for p in registry().failed if name in (p.name, p.distribution)]
            why = failed[0].error if failed else f"not installed: pip install {name}"
            raise ValueError(f"the policy needs the plugin {name!r}, which is missing ({why})")
    return names


_as_table = PlainSerializer(lambda component: component and component.to_dict())
AnySchedule = Annotated[Schedule | None, _component("schedule"), _as_table]
AnyCriterion = Annotated[Criterion | None, _component("criterion"), _as_table]
AnyPattern = Annotated[Pattern | None, _component("pattern"), _as_table]
AnyDistribution = Annotated[Distribution | None, _component("distribution"), _as_table]


@dataclass(frozen=True)
class ResolvedRule:
    """A rule with every setting filled in; without a method it keeps its weights dense."""

    number: int
    match: Match
    required: bool
    method: Method | None
    id: str | None = None

    def __str__(self) -> str:
        return f"rule {self.number}" + (f" ({self.id!r})" if self.id else "")


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

    `plugins` names the distributions, or plugins registered in code, that must be there.

    >>> policy = Policy.parse({"schedule": {"kind": "one_shot", "final_sparsity": 0.8}})
    >>> policy.schedule.sparsity(0)
    0.8
    >>> policy.rules, len(policy.fingerprint)
    ((), 64)
    """

    keys_of_files: ClassVar[tuple[str, ...]] = ("extends",)

    version: Annotated[Literal[1], BeforeValidator(_whole)] = 1
    name: str | None = None
    plugins: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_installed)] = ()
    schedule: AnySchedule = None
    criterion: Annotated[Criterion, _component("criterion"), _as_table] = Magnitude()
    pattern: Annotated[Pattern, _component("pattern"), _as_table] = Unstructured()
    distribution: Annotated[Distribution, _component("distribution"), _as_table] = Uniform()
    rules: Annotated[tuple[Rule, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _rules_are_complete(self) -> Self:
        for place, rule in enumerate(self.rules or (Rule(),)):
            try:
                self._method(rule)
            except ValueError as error:
                raise located(error, ("rules", place) if self.rules else ()) from error
        return self

    @cached_property
    def resolved_rules(self) -> tuple[ResolvedRule, ...]:
        """The rules with every setting filled in; no rules means one that matches all."""
        return tuple(
            ResolvedRule(number, rule.match, rule.required, self._method(rule), rule.id)
            for number, rule in enumerate(self.rules or (Rule(),), 1)
        )

    def _method(self, rule: Rule) -> Method | None:
        if not rule.prune:
            return None
        schedule = rule.schedule or self.schedule
        if schedule is None:
            raise ValueError("no schedule, and there is no default one; add [schedule]")
        pattern = rule.pattern or self.pattern
        if pattern.fixed_sparsity is not None and not isinstance(schedule, (Constant, OneShot)):
            raise ValueError(
                f"pattern {pattern.kind!r} has a fixed sparsity, so it takes a constant or "
                f"one_shot schedule, not {schedule.kind!r}; give the rule a schedule of its own"
            )
        return Method(
            schedule,
            rule.criterion or self.criterion,
            pattern,
            rule.distribution or self.distribution,
        )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a policy file: .toml, .yaml or .json, with all that it extends.

        Raises PolicyError that names the file, the rule, the key and what exists.
        """
        return cls._parse(policy_files.read(str(path)))

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Self:
        """Make a policy of a mapping, laid out as the policy file.

        >>> Policy.parse({"schedule": {"kind": "one_shot"}})
        Traceback (most recent call last):
        secateur.errors.PolicyError: policy: schedule.final_sparsity: field required
        """
        return cls._parse(policy_files.extend(table, "policy"))

    @classmethod
    def _parse(cls, merged: policy_files.Merged) -> Self:
        try:
            return cls.model_validate(merged.table)
        except ValidationError as error:
            raise explain(error, merged) from None

    def dump(self, path: str | Path) -> None:
        """Write the policy to a file in the format that its ending names.

        The file is complete: what it was extended from is written out, and `plugins` names
        every distribution that a part of it comes from.
        """
        policy_files.write(self.to_dict(), Path(path))

    def _third_parties(self) -> Iterator[str]:
        for method in filter(None, (rule.method for rule in self.resolved_rules)):
            for part in vars(method).values():
                owner = registry().owner(type(part))
                if owner.distribution not in ("", "secateur"):
                    yield owner.distribution

    def to_dict(self) -> dict[str, Any]:
        """Return the mapping that `parse` makes this policy of."""
        table = self.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude={"rules", "plugins"}
        )
        rules = [
            rule.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
            for rule in self.rules
        ]
        plugins = sorted({*self.plugins, *self._third_parties()})
        return {**table, **({"plugins": plugins} if plugins else {}), "rules": rules}

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
            for rule in self.resolved_rules
        ]
        return {"version": self.version, "rules": rules}


PolicyLike = Policy | str | Path | Mapping[str, Any]
"""What is taken wherever a policy is: a Policy, a path, a mapping, or a ready policy's name."""


def as_policy(policy: PolicyLike) -> Policy:
    """Return the policy that is meant."""
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, Mapping):
        return Policy.parse(policy)
    return Policy.load(policy)
