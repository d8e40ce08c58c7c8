"""What schedules, criteria, patterns and distributions have in common.

Each is a frozen pydantic model: its fields are the keys of the policy file, checked
strictly (unknown keys, wrong types and values out of range are errors).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from secateur.errors import PolicyError, nearest

Sparsity = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A fraction of weights that are zero, from 0 to 1."""


class Percent(str):
    """A step given as a share of the whole run, such as ``"10%"``."""

    __slots__ = ()
    PATTERN = re.compile(r"(?:100(?:\.0+)?|\d{1,2}(?:\.\d+)?)%")

    def of(self, total_steps: int) -> int:
        """Return the step, rounded half to even.

        >>> Percent("12.5%").of(1000)
        125
        """
        return round(total_steps * Fraction(self[:-1]) / 100)


def _step(value: Any) -> int | Percent:
    if isinstance(value, str):
        if Percent.PATTERN.fullmatch(value):
            # one spelling of each share, so that "10.0%" has the fingerprint of "10%"
            return Percent(f"{Decimal(value[:-1]).normalize():f}%")
    elif isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError('must be a step (an integer from 0) or a percentage of the run, like "10%"')


def _end_step(value: Any) -> int | Percent:
    return -1 if type(value) is int and value == -1 else _step(value)


_PERCENT_SCHEMA = {"type": "string", "pattern": f"^{Percent.PATTERN.pattern}$"}
Step = Annotated[
    int | Percent,
    PlainValidator(_step),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, _PERCENT_SCHEMA]}),
]
"""A step: an integer, or a percentage of the run's ``total_steps``."""
EndStep = Annotated[
    int | Percent,
    PlainValidator(_end_step),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": -1}, _PERCENT_SCHEMA]}),
]
"""A step, or -1 for no end."""


class Table(BaseModel):
    """A table of a policy file: frozen, its keys and types checked strictly."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    keys_of_files: ClassVar[tuple[str, ...]] = ()
    """Keys that a file may have and that are settled before the table is made."""

    @model_validator(mode="before")
    @classmethod
    def _knows_every_key(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            fields = {field.alias or name for name, field in cls.model_fields.items()}
            known = fields | set(cls.keys_of_files)
            for key in value:
                if key not in fields:
                    raise ValueError(f"unknown key {str(key)[:80]!r}: {nearest(str(key), known)}")
        return value


class Component(Table):
    """A part of a policy that is chosen by its registered name, `kind`."""

    family: ClassVar[str]
    hook: ClassVar[str]
    kind: ClassVar[str]
    provider: ClassVar[str] = ""
    """The plugin that registered the class, in words; the registry writes it."""

    @classmethod
    def provided_by(cls) -> str:
        """Return the plugin that provides the class, or where an unregistered one is defined."""
        return cls.provider or repr(f"{cls.__module__}.{cls.__qualname__}")

    def to_dict(self) -> dict[str, Any]:
        """Return the table of the policy file that makes this component, defaults included."""
        return {"kind": self.kind, **self.model_dump(mode="json", by_alias=True, exclude_none=True)}

    def percentages(self) -> list[str]:
        """Return every step that is given as a percentage of the run, as ``name = "10%"``."""
        return [f'{name} = "{share}"' for name, share in _percentages(self)]

    def with_total_steps(self, total_steps: int | None) -> Self:
        """Return the component with every percentage turned into a step.

        Raises PolicyError when there are percentages and `total_steps` is not known.
        """
        shares = self.percentages()
        if not shares:
            return self
        if total_steps is None:
            raise PolicyError(
                f"{self.kind} schedule: {shares[0]} is a percentage of the run, whose "
                "length is not known. Say total_steps=, the number of optimizer updates "
                "(epochs times batches per epoch), or give the step as an integer."
            )
        return self.model_validate({name: _with_steps(value, total_steps) for name, value in self})


def _percentages(model: BaseModel) -> Iterator[tuple[str, Percent]]:
    def inside(name: str, value: object) -> Iterator[tuple[str, Percent]]:
        if isinstance(value, Percent):
            yield name, value
        elif isinstance(value, BaseModel):
            yield from ((f"{name}.{key}", share) for key, share in _percentages(value))
        elif isinstance(value, tuple):
            for place, item in enumerate(value):
                yield from inside(f"{name}[{place}]", item)

    for name, value in model:
        yield from inside(name, value)


def _with_steps(value: Any, total_steps: int) -> Any:
    if isinstance(value, Percent):
        return value.of(total_steps)
    if isinstance(value, BaseModel):
        return value.model_validate({k: _with_steps(v, total_steps) for k, v in value})
    if isinstance(value, tuple):
        return tuple(_with_steps(item, total_steps) for item in value)
    return value
