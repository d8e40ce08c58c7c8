"""Which weights a rule is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from secateur.adapter import WeightSpec
from secateur.components.component import Table
from secateur.errors import nearest
from secateur.hooks.registry import registry
from secateur.kinds import kind_names, role_names


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else (value,)


def _names(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return _globs(value)
    failed = {plugin.name for plugin in registry().failed}
    known = {adapter.name for adapter in registry().adapters()}
    for adapter in value:
        if adapter not in known | failed:
            raise ValueError(f"no adapter {str(adapter)[:80]!r}: {nearest(str(adapter), known)}")
    return {adapter: _globs(globs) for adapter, globs in value.items()}


def _globs(value: Any) -> tuple[str, ...]:
    globs = value if isinstance(value, tuple) else _as_tuple(value)
    if not all(isinstance(glob, str) for glob in globs):
        raise ValueError(
            'wanted a glob such as "encoder.*", a list of them, or a table of them by adapter'
        )
    return globs


def _one_or_more(choice: Any) -> BeforeValidator:
    return BeforeValidator(_as_tuple, json_schema_input_type=choice | list[choice])


@dataclass(frozen=True)
class _OneOf:
    """Accepts one of some names, to which plugins may add; the JSON Schema lists them all."""

    names: Callable[[], tuple[str, ...]]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"enum": list(self._known()), "type": "string"}

    def _check(self, value: Any) -> str:
        known = self._known()
        if not isinstance(value, str) or value not in known:
            *most, last = map(repr, known)
            raise PydanticKnownError("literal_error", {"expected": f"{', '.join(most)} or {last}"})
        return value

    def _known(self) -> tuple[str, ...]:
        registry()  # which adds the kinds that plugins provide
        return self.names()


KindName = Annotated[str, _OneOf(kind_names)]
RoleName = Annotated[str, _OneOf(role_names)]
_ALTERNATIVES = str | list[str]
_NAMES = BeforeValidator(_names, json_schema_input_type=_ALTERNATIVES | dict[str, _ALTERNATIVES])
Globs = tuple[str, ...]
Position = Literal["first", "last"]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Match(Table):
    """The conditions of a rule; all that are given must hold, and ``{}`` matches everything.

    `name` is a glob, or several, for the weight's name or its layer's; it may be a table of
    one entry per adapter, for models whose layers are named differently.  `position` is the
    first or the last layer that can be pruned, `depth` a range of relative depth, from 0 at
    the first such layer to 1 at the last.
    """

    kind: Annotated[tuple[KindName, ...], _one_or_more(KindName)] | None = None
    role: Annotated[tuple[RoleName, ...], _one_or_more(RoleName)] | None = None
    name: Annotated[Globs | dict[str, Globs], _NAMES] | None = None
    position: Annotated[tuple[Position, ...], _one_or_more(Position)] | None = None
    depth: Annotated[tuple[Share, Share], BeforeValidator(_as_tuple)] | None = None
    min_size: Annotated[int, Field(ge=0)] | None = None
    max_size: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _ranges_are_not_empty(self) -> Match:
        if self.depth and self.depth[0] > self.depth[1]:
            raise ValueError(f"depth = {list(self.depth)} is empty: the first is the larger")
        if None not in (self.min_size, self.max_size) and self.min_size > self.max_size:  # type: ignore[operator]
            raise ValueError(f"min_size = {self.min_size} is above max_size = {self.max_size}")
        return self

    def matches(self, spec: WeightSpec, layers: Sequence[str], adapter: str) -> bool:
        """Tell whether a weight fulfils every condition; `layers` are the model's, in order."""
        place = layers.index(spec.layer)
        depth = place / max(1, len(layers) - 1)
        return (
            (self.kind is None or spec.kind in self.kind)
            and (self.role is None or spec.role in self.role)
            and (self.min_size is None or spec.size >= self.min_size)
            and (self.max_size is None or spec.size <= self.max_size)
            and (self.depth is None or self.depth[0] <= depth <= self.depth[1])
            and (self.position is None or _stands(place, len(layers), self.position))
            and (self.name is None or _is_named(spec, self.globs(adapter)))
        )

    def normalised(self) -> dict[str, Any]:
        """Return the conditions with alternatives in a fixed order."""
        table = self.model_dump(mode="json", exclude_none=True)
        for key in ("kind", "role", "position", "name"):
            if isinstance(table.get(key), list):
                table[key] = sorted(set(table[key]))
            elif key in table:
                table[key] = {adapter: sorted(set(globs)) for adapter, globs in table[key].items()}
        return table

    def globs(self, adapter: str) -> Globs:
        """Return the name globs for an adapter; none when the table leaves it out."""
        if isinstance(self.name, dict):
            return self.name.get(adapter, ())
        return self.name or ()


def _stands(place: int, count: int, positions: Sequence[Position]) -> bool:
    return ("first" in positions and place == 0) or ("last" in positions and place == count - 1)


def _is_named(spec: WeightSpec, globs: Globs) -> bool:
    names = {
        name for full in (spec.name, *spec.aliases) for name in (full, full.rpartition(":")[0])
    }
    return any(fnmatchcase(name, glob) for name in names for glob in globs)
