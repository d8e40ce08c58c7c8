"""Which weights a rule is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from secateur.adapter import WeightSpec
from secateur.errors import nearest
from secateur.hooks.registry import registry
from secateur.kinds import kind_names, role_names
from secateur.policy.globs import WeightNames, check_globs
from secateur.policy.table import PolicyTable


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
    check_globs(globs)
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
RelativeDepth = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Candidates:
    """The weights of a model, laid out so that thousands of rules find theirs quickly.

    Args:
        specs: The weights, in the order of the model.
        layers: The layers of the model, in order; every layer of a weight is among them.

    """

    def __init__(self, specs: Sequence[WeightSpec], layers: Sequence[str]) -> None:
        self.specs = specs
        self.names = WeightNames([_names_of(spec) for spec in specs])
        index = {layer: number for number, layer in enumerate(layers)}
        self.positions = [
            tuple({index[layer] for layer in (spec.layer, *spec.alias_layers) if layer in index})
            for spec in specs
        ]
        self.last = len(layers) - 1


def _names_of(spec: WeightSpec) -> set[str]:
    """Return the names by which a glob finds a weight: its own, and those without the role."""
    names = {spec.name, *spec.aliases}
    return names | {layer for name in names if (layer := name.rpartition(":")[0])}


class Match(PolicyTable):
    """The conditions of a rule; all that are given must hold, and ``{}`` matches everything.

    Attributes:
        kind: One kind of weight, or several.
        role: One role in a layer, or several.
        name: A glob, or several, for the weight's name or its layer's; or a table of one entry
            per adapter, for models whose layers are named differently.
        position: ``first``, ``last`` or both: of the layers that can be pruned, in the order of
            the model.  A tied weight stands in each of its layers.
        depth: A range of relative depth, from 0 at the first such layer to 1 at the last.
        min_size: The least number of elements.
        max_size: The largest number of elements.
        trainable: Whether the framework updates the weight, or it is frozen.

    Example:
        >>> Match(kind="conv", min_size=1024).normalized()
        {'kind': ['conv'], 'min_size': 1024}

    """

    kind: Annotated[tuple[KindName, ...], _one_or_more(KindName)] | None = None
    role: Annotated[tuple[RoleName, ...], _one_or_more(RoleName)] | None = None
    name: Annotated[Globs | dict[str, Globs], _NAMES] | None = None
    position: Annotated[tuple[Position, ...], _one_or_more(Position)] | None = None
    depth: Annotated[tuple[RelativeDepth, RelativeDepth], BeforeValidator(_as_tuple)] | None = None
    min_size: Annotated[int, Field(ge=0)] | None = None
    max_size: Annotated[int, Field(ge=0)] | None = None
    trainable: bool | None = None

    @model_validator(mode="after")
    def _ranges_are_not_empty(self) -> Match:
        if self.depth and self.depth[0] > self.depth[1]:
            raise ValueError(f"depth = {list(self.depth)} is empty: the first is the larger")
        if None not in (self.min_size, self.max_size) and self.min_size > self.max_size:  # type: ignore[operator]
            raise ValueError(f"min_size = {self.min_size} is above max_size = {self.max_size}")
        return self

    def select(self, candidates: Candidates, adapter: str) -> list[int]:
        """Return the indices of the weights that fulfil every condition, in model order.

        Args:
            candidates: The weights of a model.
            adapter: The name of the adapter that bound the model.

        """
        chosen: list[int] = list(range(len(candidates.specs)))
        if self.name is not None:
            named = (candidates.names.find(glob) for glob in self.globs(adapter))
            chosen = sorted(frozenset().union(*named))
        for _, holds in self._conditions(candidates):
            chosen = [index for index in chosen if holds(index)]
        return chosen

    def unmet(self, candidates: Candidates, adapter: str, index: int) -> list[str]:
        """Return the conditions that one weight does not fulfil.

        Args:
            candidates: The weights of a model.
            adapter: The name of the adapter that bound the model.
            index: The index of the weight.

        """
        unmet = [name for name, holds in self._conditions(candidates) if not holds(index)]
        find, globs = candidates.names.find, self.globs(adapter)
        if self.name is not None and not any(index in find(glob) for glob in globs):
            return ["name", *unmet]
        return unmet

    def _conditions(self, candidates: Candidates) -> Iterator[tuple[str, Callable[[int], bool]]]:
        """Yield every condition but that on names, as a function of a weight's index."""
        specs, positions, last = candidates.specs, candidates.positions, candidates.last
        if (kinds := self.kind) is not None:
            yield "kind", lambda index: specs[index].kind in kinds
        if (roles := self.role) is not None:
            yield "role", lambda index: specs[index].role in roles
        if (least := self.min_size) is not None:
            yield "min_size", lambda index: specs[index].size >= least
        if (most := self.max_size) is not None:
            yield "max_size", lambda index: specs[index].size <= most
        if (trainable := self.trainable) is not None:
            yield "trainable", lambda index: specs[index].trainable is trainable
        if self.position is not None:
            ends = {{"first": 0, "last": last}[each] for each in self.position}
            yield "position", lambda index: not ends.isdisjoint(positions[index])
        if (depth := self.depth) is not None:
            scale = max(1, last)
            yield (
                "depth",
                lambda index: any(depth[0] <= p / scale <= depth[1] for p in positions[index]),
            )

    def needs_live_model(self) -> str | None:
        """Return a condition that only a model can answer, not a file; None without one."""
        conditions = {
            "position": self.position,
            "depth": self.depth,
            "trainable": self.trainable,
        }
        return next((name for name, given in conditions.items() if given is not None), None)

    def normalized(self) -> dict[str, Any]:
        """Return the conditions as a table, with alternatives in a fixed order."""
        table = self.model_dump(mode="json", exclude_none=True)
        for key in ("kind", "role", "position", "name"):
            if isinstance(table.get(key), list):
                table[key] = sorted(set(table[key]))
            elif key in table:
                table[key] = {adapter: sorted(set(globs)) for adapter, globs in table[key].items()}
        return table

    def globs(self, adapter: str) -> Globs:
        """Return the name globs for an adapter; none when the table leaves it out.

        Args:
            adapter: The name of an adapter.

        """
        if isinstance(self.name, dict):
            return self.name.get(adapter, ())
        return self.name or ()
