"""One rule of a policy, as it is written and with every setting filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from secateur.components.component import Component
from secateur.components.criteria import Criterion
from secateur.components.distributions import Distribution
from secateur.components.method import Method
from secateur.components.patterns import Pattern
from secateur.components.schedule import Schedule
from secateur.errors import PluginError, in_words
from secateur.hooks.registry import registry
from secateur.policy.match import Match
from secateur.policy.table import PolicyTable


def component(family: str) -> BeforeValidator:
    """Return a validator that turns ``{kind = ..., ...}``, or a kind alone, into a component."""

    def build(value: Any) -> Any:
        if isinstance(value, Component) or value is None:
            return value
        table = {"kind": value} if isinstance(value, str) else value
        if not isinstance(table, Mapping) or not isinstance(table.get("kind"), str):
            raise ValueError(f'wanted a {family}: a table with kind = "...", or the name alone')
        try:
            found = registry().component(family, table["kind"])
        except PluginError as error:
            raise ValueError(str(error)) from error
        try:
            return found.model_validate({k: v for k, v in table.items() if k != "kind"})
        except ValueError:
            raise
        except Exception as error:  # whatever a plugin's own checks raise
            plugin = registry().provider(found)
            raise ValueError(f"plugin {plugin}: {in_words(error)}") from error

    return BeforeValidator(build)


AS_TABLE = PlainSerializer(lambda part: part and part.to_dict())
AnySchedule = Annotated[Schedule | None, component("schedule"), AS_TABLE]
AnyCriterion = Annotated[Criterion | None, component("criterion"), AS_TABLE]
AnyPattern = Annotated[Pattern | None, component("pattern"), AS_TABLE]
AnyDistribution = Annotated[Distribution | None, component("distribution"), AS_TABLE]


@dataclass(frozen=True)
class ResolvedRule:
    """A rule with every setting filled in.

    Attributes:
        number: Its number within the policy, from 1.
        match: Its conditions.
        required: Whether it must match a weight.
        method: How its weights are pruned; None keeps them dense.
        words: What errors call it: its file, number and id.
        id: Its id in the policy file, if it has one.

    """

    number: int
    match: Match
    required: bool
    method: Method | None
    words: str
    id: str | None = None

    @property
    def label(self) -> str:
        """What tables call it: its id or, without one, its number."""
        return self.id or str(self.number)

    def __str__(self) -> str:
        return self.words


class Rule(PolicyTable):
    """Which weights, and how they are pruned; the policy's defaults fill in what is left out.

    Attributes:
        id: Names the rule for policies that extend this one.
        match: The conditions; without any, the rule matches every weight.
        prune: False keeps what matches dense.
        required: Whether it is an error when the rule matches nothing.
        schedule: How sparse at which step.
        criterion: Which weights matter.
        pattern: How weights are grouped.
        distribution: How one target becomes a target for each weight.

    Example:
        >>> Rule(match={"kind": "embedding"}, prune=False).prune
        False
        >>> Rule(match={"kind": "dens"})
        Traceback (most recent call last):
        secateur.errors.PolicyError: Rule: match.kind[0]: 'dens': input should be 'dense', ...

    """

    id: str | None = None
    match: Match = Match()
    prune: bool = True
    required: bool = True
    schedule: AnySchedule = None
    criterion: AnyCriterion = None
    pattern: AnyPattern = None
    distribution: AnyDistribution = None
