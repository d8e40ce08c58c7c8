"""What schedules, criteria, patterns and distributions have in common.

Each is a frozen pydantic model: its fields are the keys of the policy file, checked
strictly (unknown keys, wrong types and values out of range are errors).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_core import ErrorDetails, InitErrorDetails

from secateur.components.values import MeantError, Percent, checked_total_steps
from secateur.errors import PluginCode, PolicyError, closest, listed, shown

_T = TypeVar("_T", bound="Table")
_MOST_UNKNOWN = 12
"""How many unknown keys of one table an error lists."""


_ELSEWHERE = {
    "sparsity": "final_sparsity",
    "target_sparsity": "final_sparsity",
    "start": "begin_step",
    "start_step": "begin_step",
    "stop": "end_step",
    "stop_step": "end_step",
    "end": "end_step",
    "every": "frequency",
    "interval": "frequency",
    "layer": "name",
    "layers": "name",
    "type": "kind",
}
"""Usual words for keys that are called otherwise here."""


class Table(BaseModel):
    """A table of a policy file: frozen, its keys and types checked strictly."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    keys_of_files: ClassVar[tuple[str, ...]] = ()
    """Keys of the file that are used before the table is made."""

    @model_validator(mode="wrap")
    @classmethod
    def _knows_every_key(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(value, Mapping):
            return handler(value)
        fields = {field.alias or name for name, field in cls.model_fields.items()}
        unknown = [key for key in value if key not in fields]
        if not unknown:
            return _validated(cls, value, handler)
        known, listed_keys = fields | set(cls.keys_of_files), unknown[:_MOST_UNKNOWN]
        mistakes: list[ValueError] = [
            UnknownKeyError(str(key), known, number == 0) for number, key in enumerate(listed_keys)
        ]
        if len(unknown) > _MOST_UNKNOWN:
            mistakes.append(ValueError(f"and {len(unknown) - _MOST_UNKNOWN:,} more unknown keys"))
        meant = {key: meant_key(str(key), fields - set(value)) for key in listed_keys}
        repaired = {meant.get(key, key): each for key, each in value.items()}
        try:  # so that the mistakes of the other keys are found, too
            _validated(cls, {k: each for k, each in repaired.items() if k in fields}, handler)
        except ValidationError as error:
            mistakes.append(error)
        raise mistakes[0] if len(mistakes) == 1 else SeveralError(mistakes)


def _validated(
    table: type[_T], value: Mapping[str, Any], handler: ModelWrapValidatorHandler[_T]
) -> _T:
    try:
        return handler(value)
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        hidden = _hidden(table, value, handler, wrong)
        if not hidden:
            raise
        details = [
            InitErrorDetails(
                type=each["type"], loc=each["loc"], input=each["input"], ctx=each.get("ctx", {})
            )
            for each in [*wrong, *hidden]
        ]
        raise ValidationError.from_exception_data(error.title, details) from None


def _hidden(
    table: type[_T],
    value: Mapping[str, Any],
    handler: ModelWrapValidatorHandler[_T],
    wrong: Sequence[ErrorDetails],
) -> list[ErrorDetails]:
    """Return what else is wrong: keys that do not fit together, beside values that are wrong.

    A value is replaced by the one that was meant, or left out where nobody knows; what
    speaks of a key that is left out is not said.
    """
    causes = {each["loc"][0]: each.get("ctx", {}).get("error") for each in wrong if each["loc"]}
    meant = {str(k): e.meant for k, e in causes.items() if isinstance(e, MeantError)}
    left_out = {str(key) for key in causes} - set(meant)
    repaired = {**{k: each for k, each in value.items() if k not in left_out}, **meant}
    try:
        handler(repaired)
    except ValidationError:
        return []  # a key without a default
    try:
        table.model_validate(repaired)
    except ValidationError as error:
        return [
            each
            for each in error.errors(include_url=False)
            if "error" in each.get("ctx", {})
            and not each["loc"]
            and not any(key in each["msg"] for key in left_out)
        ]
    return []


class UnknownKeyError(ValueError):
    """A table has a key that it does not take.

    Args:
        key: The key.
        known: The keys that there are.
        lists: Whether the message lists these.

    """

    def __init__(self, key: str, known: Collection[str], lists: bool = True) -> None:
        guess = meant_key(key, known)
        hint = f"did you mean {shown(guess)}?" if guess else ""
        if lists:
            hint = f"{hint} There" if hint else "there"
            hint += f" are: {listed(sorted(known))}" if known else " are none"
        super().__init__(f"unknown key {shown(key)}{': ' if hint else ''}{hint}")
        self.key = key


def meant_key(key: str, known: Collection[str]) -> str | None:
    """Return the key that was probably meant, if one of those that there are was.

    Args:
        key: What was written.
        known: The keys that there are.

    Example:
        >>> meant_key("start_step", {"begin_step", "end_step"})
        'begin_step'

    """
    usual = _ELSEWHERE.get(key.lower())
    return usual if usual in known else closest(key, known)


class SeveralError(ValueError):
    """A table has several mistakes.

    Args:
        errors: The mistakes.

    """

    def __init__(self, errors: Sequence[ValueError]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors


class Component(Table):
    """A part of a policy that is chosen by its registered name, `kind`.

    Attributes:
        family: The key of a policy that takes it, such as ``schedule``.
        hook: The hook that registers such classes.
        kind: The name in a policy.
        provider: The plugin that registered the class, in words; the registry writes it.

    """

    family: ClassVar[str]
    hook: ClassVar[str]
    kind: ClassVar[str]
    provider: ClassVar[str] = ""

    @classmethod
    def provided_by(cls) -> str:
        """Return the plugin that provides the class, or where an unregistered one is defined."""
        if own := vars(cls).get("provider"):
            return str(own)
        base = f", which derives from a class of plugin {cls.provider}" if cls.provider else ""
        return f"{cls.__module__ + '.' + cls.__qualname__!r}{base}"

    def to_dict(self) -> dict[str, Any]:
        """Return the table of the policy file that makes this component.

        Example:
            >>> from secateur.components.criteria import Random
            >>> Random().to_dict()
            {'kind': 'random', 'seed': 0}

        """
        return {"kind": self.kind, **self.model_dump(mode="json", by_alias=True, exclude_none=True)}

    def normalized(self) -> dict[str, Any]:
        """Return the table that the policy's fingerprint is made of."""
        return self.to_dict()

    def percentages(self) -> list[str]:
        """Return every step that is given as a percentage of the run.

        Example:
            >>> from secateur.components.schedules import Linear
            >>> Linear(final_sparsity=0.5, end_step="75%").percentages()
            ['end_step = "75%"']

        """
        return [f'{name} = "{share}"' for name, share in _percentages(self)]

    def with_total_steps(self, total_steps: int | None) -> Self:
        """Return the component with every percentage turned into a step.

        Args:
            total_steps: The number of optimizer updates of the whole run, if it is known.

        Raises:
            PolicyError: There are percentages and `total_steps` is not known or no positive
                integer, or the steps that they turn into do not fit each other.

        Example:
            >>> from secateur.components.schedules import Linear
            >>> Linear(final_sparsity=0.5, end_step="75%").with_total_steps(200).end_step
            150

        """
        total = checked_total_steps(total_steps)
        shares = self.percentages()
        if not shares:
            return self
        if total is None:
            raise PolicyError(
                f"{self.kind} {self.family}: {shares[0]} is a percentage of the run, whose "
                "length is not known. Pass total_steps= (--total-steps at the command line), the "
                "number of optimizer updates, which is epochs times batches per epoch, or give "
                "the step as an integer."
            )
        try:
            with PluginCode(self._worded, ValidationError):
                return self._with({key: _with_steps(value, total) for key, value in _items(self)})
        except ValidationError as error:
            raise self._unfit(total, _reasons(error)) from None

    def _with(self, changes: Mapping[str, Any]) -> Self:
        """Return the component with some keys changed, checked again."""
        return self.model_validate({**dict(_items(self)), **changes})

    def _unfit(self, total_steps: int, why: str) -> PolicyError:
        """Return the error of percentages that do not fit a run of some length."""
        steps = [
            f'{n} = "{share}" is step {share.of(total_steps)}' for n, share in _percentages(self)
        ]
        return PolicyError(
            f"{self.kind} {self.family}: with total_steps={total_steps}, {listed(steps)}: {why}"
        )

    def _worded(self, why: str) -> str:
        return f"plugin {self.provided_by()}, {self.hook} ({self.family} {self.kind!r}): {why}"


def _items(model: BaseModel) -> Iterator[tuple[str, Any]]:
    """Return the values of a model by their keys in a policy file."""
    fields = type(model).model_fields
    for name, value in model:
        yield fields[name].alias or name, value


def _percentages(model: BaseModel) -> Iterator[tuple[str, Percent]]:
    def inside(name: str, value: object) -> Iterator[tuple[str, Percent]]:
        if isinstance(value, Percent):
            yield name, value
        elif isinstance(value, BaseModel):
            yield from ((f"{name}.{key}", share) for key, share in _percentages(value))
        elif isinstance(value, tuple):
            for position, item in enumerate(value):
                yield from inside(f"{name}[{position}]", item)

    for key, value in _items(model):
        yield from inside(key, value)


def _with_steps(value: Any, total_steps: int) -> Any:
    if isinstance(value, Percent):
        return value.of(total_steps)
    if isinstance(value, BaseModel):
        return value.model_validate({k: _with_steps(v, total_steps) for k, v in _items(value)})
    if isinstance(value, tuple):
        return tuple(_with_steps(item, total_steps) for item in value)
    return value


def _reasons(error: ValidationError) -> str:
    """Return what a ValidationError holds, in one line."""
    found = []
    for detail in error.errors(include_url=False, include_input=False):
        cause = detail.get("ctx", {}).get("error")
        key = ".".join(map(str, detail["loc"]))
        found.append(f"{key}: {detail['msg']}" if cause is None else str(cause))
    return "; ".join(found[:3])
