"""The policy: ordered rules, of which the first that matches a weight decides."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from secateur.components.criteria import Criterion, Magnitude
from secateur.components.distributions import Distribution, Uniform
from secateur.components.method import Method, regrowth_problem
from secateur.components.patterns import Pattern, Unstructured
from secateur.components.schedules import Constant, KeepZeros, OneShot
from secateur.errors import PolicyError, PolicyWarning, shown
from secateur.hooks.registry import registry
from secateur.policy.messages import explain, located
from secateur.policy.origins import Key, Origins, TablePath
from secateur.policy.reading import files as policy_files
from secateur.policy.reading.lines import Written, written_at
from secateur.policy.reading.merging import Merged
from secateur.policy.reading.overrides import Overrides, as_overrides, override, vain
from secateur.policy.rule import AS_TABLE, AnySchedule, ResolvedRule, Rule, component
from secateur.policy.rules_table import rules_table
from secateur.policy.table import PolicyTable
from secateur.tables import Paragraph, Printed, Table, View, printable


def _integer(value: Any) -> Any:
    # True and 1.0 are equal to 1, which is all that a literal asks for
    if type(value) is not int:
        raise ValueError(f"wanted the integer 1, not {value!r:.80}")
    return value


def _installed(names: tuple[str, ...]) -> tuple[str, ...]:
    known = {word for p in registry().plugins.values() for word in (p.name, p.distribution) if word}
    for name in names:
        if name not in known:
            failed = [p for p in registry().failed if name in (p.name, p.distribution)]
            why = failed[0].error if failed else f"not installed: pip install {name:.80}"
            raise ValueError(
                f"the policy needs the plugin {name!r:.80}, which is missing ({why:.300})"
            )
    return names


_NO_RAMPS = (Constant, OneShot, KeepZeros)
"""The schedules that a pattern takes which fixes the sparsity itself."""


class Policy(Printed, PolicyTable):
    """What to prune, how, how far and when.

    Attributes:
        version: The version of the file format, 1.
        name: A name for people; it decides no mask.
        plugins: The distributions, or plugins registered in code, that must be installed.
        schedule: How sparse at which step; for rules without one of their own, as the next three.
        criterion: Which weights matter.
        pattern: How weights are grouped.
        distribution: How one target becomes a target for each weight.
        rules: In order; the first that matches a weight decides.  None means one that matches
            all.

    Example:
        >>> policy = Policy.parse({"schedule": {"kind": "one_shot", "final_sparsity": 0.8}})
        >>> policy.schedule.sparsity(0)
        0.8
        >>> policy.rules, len(policy.fingerprint)
        ((), 64)

    """

    keys_of_files: ClassVar[tuple[str, ...]] = ("extends",)

    version: Annotated[Literal[1], BeforeValidator(_integer)] = 1
    name: str | None = None
    plugins: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_installed)] = ()
    schedule: AnySchedule = None
    criterion: Annotated[Criterion, component("criterion"), AS_TABLE] = Magnitude()
    pattern: Annotated[Pattern, component("pattern"), AS_TABLE] = Unstructured()
    distribution: Annotated[Distribution, component("distribution"), AS_TABLE] = Uniform()
    rules: Annotated[tuple[Rule, ...], Field(strict=False)] = ()

    _origins: Origins = PrivateAttr(default=Origins())

    @model_validator(mode="after")
    def _rules_are_complete(self) -> Self:
        wrong: list[tuple[TablePath, ValueError]] = []
        for index, rule in enumerate(self.rules or (Rule(),)):
            try:
                self._method(rule)
            except ValueError as error:
                wrong.append((("rules", index) if self.rules else (), error))
        if wrong:
            raise located(wrong)
        return self

    @cached_property
    def resolved_rules(self) -> tuple[ResolvedRule, ...]:
        """The rules with every setting filled in; no rules means one that matches all."""
        return tuple(
            ResolvedRule(
                number,
                rule.match,
                rule.required,
                self._method(rule),
                self._origins.rule(number, rule.id),
                rule.id,
            )
            for number, rule in enumerate(self.rules or (Rule(),), 1)
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that the policy was read from: its own, and those that it extends."""
        return self._origins.files

    @property
    def source(self) -> str:
        """What errors call the policy: its own file, or "policy" where it was made in code."""
        return self._origins.name

    def _method(self, rule: Rule) -> Method | None:
        if not rule.prune:
            return None
        schedule = rule.schedule or self.schedule
        if schedule is None:
            raise ValueError("no schedule, and there is no default one; add [schedule]")
        method = Method(
            schedule,
            rule.criterion or self.criterion,
            rule.pattern or self.pattern,
            rule.distribution or self.distribution,
        )
        if method.fixed_sparsity is not None and not isinstance(schedule, _NO_RAMPS):
            raise ValueError(
                f"pattern {method.pattern.kind!r} has a fixed sparsity, so it takes a constant or "
                f"one_shot schedule, not {schedule.kind!r}; give the rule a schedule of its own"
            )
        if problem := regrowth_problem(method) or method.misfit:
            raise ValueError(problem)
        return method

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        overrides: Mapping[str, Any] | Overrides | None = None,
    ) -> Self:
        """Read a policy file with all that it extends.

        Args:
            path: A .toml, .yaml or .json file, ``package:NAME/folder/file.toml`` of an installed
                package, or the name of a ready policy.
            overrides: Settings to change, by their dotted keys, such as
                ``schedule.final_sparsity``; a rule goes by its id, as in ``rules.ends.prune``.

        Returns:
            The policy.

        Raises:
            PolicyError: The file is missing or not a valid policy; the message names the file,
                the rule, the key and what exists.

        Example:
            >>> Policy.load("cnn-80").name
            'cnn-80'
            >>> changed = Policy.load("cnn-80", overrides={"schedule.final_sparsity": 0.9})
            >>> changed.schedule.final, changed.name
            (0.9, None)

        """
        if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
            raise PolicyError(
                f"Policy.load({_argument(path)}): wanted the path of a policy file, or the name "
                "of a ready policy; Policy.parse takes a mapping"
            )
        changes = as_overrides(overrides)
        merged = policy_files.read(os.fspath(path))
        if not changes.values:
            return cls._parse(merged)
        policy = cls._parse(override(merged, changes))
        for note in vain(changes, policy.rules):
            warnings.warn(note, PolicyWarning, stacklevel=2)
        return policy

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Self:
        """Make a policy of a mapping.

        Args:
            table: The settings, laid out as in a policy file.

        Returns:
            The policy.

        Raises:
            PolicyError: It is no valid policy; the message names the rule, the key and what
                exists.

        Example:
            >>> Policy.parse({"schedule": {"kind": "one_shot"}})
            Traceback (most recent call last):
            secateur.errors.PolicyError: policy: schedule.final_sparsity: field required

        """
        if not isinstance(table, Mapping):
            raise PolicyError(
                f"Policy.parse({_argument(table)}): wanted a mapping of settings. Policy.load "
                "reads a file; the text of one is parsed by tomllib.loads or json.loads first"
            )
        return cls._parse(policy_files.extend(table))

    @classmethod
    def _parse(cls, merged: Merged) -> Self:
        for _, note in merged.misspelt:
            warnings.warn(note, PolicyWarning, stacklevel=3)
        try:
            return cls._validated(merged)
        except ValidationError as error:
            raise explain(error, merged.origins) from None

    @classmethod
    def _validated(cls, merged: Merged) -> Self:
        policy = cls.model_validate(merged.table)
        policy._origins = merged.origins
        return policy

    def dump(self, path: str | os.PathLike[str]) -> None:
        """Write the policy to a file.

        The file is complete: what the policy extends is written out, and `plugins` names every
        distribution that a part of it comes from.

        Args:
            path: The new file; its suffix, .toml, .yaml or .json, names the format.

        Raises:
            PolicyError: The format is unknown.

        Example:
            >>> import tempfile
            >>> path = Path(tempfile.mkdtemp()) / "mine.toml"
            >>> Policy.load("cnn-80").dump(path)
            >>> Policy.load(path) == Policy.load("cnn-80")
            True

        """
        policy_files.write(self.to_dict(), Path(path))

    def _third_parties(self) -> Iterator[str]:
        for method in filter(None, (rule.method for rule in self.resolved_rules)):
            for part in vars(method).values():
                plugin = registry().provider(type(part))
                if plugin.distribution not in ("", "secateur"):
                    yield plugin.distribution

    def to_dict(self) -> dict[str, Any]:
        """Return the mapping that `parse` makes this policy of.

        Example:
            >>> Policy.load("transformer-2to4").to_dict()["pattern"]
            {'kind': 'n_m', 'keep': 2, 'of': 4}

        """
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
        text = json.dumps(self._normalized(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def title(self) -> str:
        """Its name, if it has one, and the beginning of its fingerprint."""
        name = f"{printable(self.name, 80)} " if self.name else ""
        return f"{name}{self.fingerprint[:12]}"

    def written_at(self, where: Sequence[Key]) -> Written:
        """Return the file and the line in which a part of the policy is written.

        Args:
            where: The keys that lead to it, such as ``("rules", 0, "match")``.

        """
        return written_at(self._origins, where)

    def rule_label(self, number: int | None) -> str:
        """Return what tables call a rule: its id or, without one, its number.

        Args:
            number: The number of the rule, from 1; None for no rule.

        """
        return "none" if number is None else self.resolved_rules[number - 1].label

    def rules_table(
        self,
        decided: Mapping[int | None, int] | None = None,
        methods: Mapping[int, Method] | None = None,
    ) -> Table:
        """Return a table of the rules with every setting.

        Args:
            decided: How many weights each rule decides, by its number, for a model; without it,
                what the rules match is shown.
            methods: How a rule prunes in a run of known length, where that is known.

        """
        written = self.written_at if self.rules and self._origins.texts else None
        return rules_table(self.resolved_rules, written, decided, methods)

    def view(self, fold: bool = True, notes: Sequence[str] = ()) -> View:
        """Return what is printed of the policy.

        Args:
            fold: Whether what repeats is shown once; a policy repeats nothing.
            notes: More that the reader should know.

        """
        return [self.rules_table(), Paragraph([*notes, f"policy {self.title}"], "result")]

    def __str__(self) -> str:
        return Printed.__str__(self)

    def __repr__(self) -> str:
        return f"<Policy {self.title} of {len(self.resolved_rules)} rules>"

    def _normalized(self) -> dict[str, Any]:
        rules = [
            {"match": rule.match.normalized(), "method": rule.method and rule.method.normalized()}
            for rule in self.resolved_rules
        ]
        return {"version": self.version, "rules": rules}


def validated(merged: Merged) -> Policy:
    """Return the policy of a table.

    Raises:
        ValidationError: The table is no policy.

    """
    return Policy._validated(merged)


def _argument(value: object) -> str:
    """Return a wrong argument as an error shows it: its value if that is short, else its type."""
    simple = value is None or isinstance(value, (bool, int, float, str, bytes))
    return shown(value, 60) if simple else f"a value of type {type(value).__name__}"


PolicyLike = Policy | str | os.PathLike[str] | Mapping[str, Any]
"""What is taken wherever a policy is: a Policy, a path, a mapping, or a ready policy's name."""


def as_policy(policy: PolicyLike) -> Policy:
    """Return the policy that is meant.

    Args:
        policy: A Policy, a path, a mapping, or the name of a ready policy.

    Raises:
        PolicyError: It is none of these, or not valid.

    """
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, Mapping):
        return Policy.parse(policy)
    if isinstance(policy, (str, os.PathLike)):
        return Policy.load(policy)
    raise PolicyError(
        f"policy = {_argument(policy)}: wanted a Policy, a path, a mapping of settings, or the "
        "name of a ready policy, such as 'cnn-80'"
    )
