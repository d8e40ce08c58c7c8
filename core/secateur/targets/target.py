"""The data file of a target: the ways in which it uses zeros, and what each of them needs."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from secateur.components.component import Table
from secateur.components.patterns import NM, Block, Pattern, Unstructured
from secateur.errors import nearest, shown
from secateur.kinds import kind_names
from secateur.layout import FLOATS

Gain = Literal["size", "cycles", "latency", "LUTs"]
_PATTERNS: dict[str, type[Pattern]] = {each.kind: each for each in (Unstructured, Block, NM)}


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _fraction(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f'wanted a fraction in quotes, such as "2/3" or "0.75", not {value!r:.80}')
    try:
        found = Fraction(value)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f'{value!r:.80}: wanted a fraction such as "2/3" or "0.75"') from None
    if not 0 <= found < 1:
        raise ValueError(f"{value}: a sparsity lies from 0 to below 1")
    return found


def _pattern(value: Any) -> Any:
    if isinstance(value, Pattern):
        return value
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _PATTERNS:
        raise ValueError(f"no pattern {shown(kind)}: {nearest(str(kind), _PATTERNS)}")
    return _PATTERNS[kind].model_validate({k: v for k, v in value.items() if k != "kind"})


Exact = Annotated[Fraction, BeforeValidator(_fraction)]
Words = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


class Sizes(Table):
    """Numbers for the axes of outputs and inputs of the canonical layout.

    Attributes:
        out: For the outputs; 1 asks nothing.
        in_: For the inputs.

    """

    out: Annotated[int, Field(ge=1)] = 1
    in_: Annotated[int, Field(ge=1, alias="in")] = 1

    def __str__(self) -> str:
        named = (("out", self.out), ("in", self.in_))
        return ", ".join(f"{axis} {size}" for axis, size in named if size > 1)


class Sparsity(Table):
    """How many zeros it takes.

    Attributes:
        at_least: The least sparsity; or
        above: the sparsity that must be exceeded.
        over_all: Whether it is counted over all weights that are eligible, not for each.

    """

    at_least: Exact | None = None
    above: Exact | None = None
    over_all: bool = False

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.at_least is None) == (self.above is None):
            raise ValueError("wanted one of: at_least, above")
        return self

    def meets(self, zeros: int, size: int) -> bool:
        """Return whether so many zeros of `size` weights are enough.

        Args:
            zeros: The number of zeros that count.
            size: The number of all weights.

        """
        found = Fraction(zeros, size) if size else Fraction(0)
        return found > self.above if self.above is not None else found >= (self.at_least or 0)

    def __str__(self) -> str:
        words = f"above {self.above}" if self.above is not None else f"at least {self.at_least}"
        return f"{words}, over all eligible weights" if self.over_all else words


class Need(Table):
    """One condition, with its source: exactly one of the other fields is given.

    Attributes:
        source: The key of a source of the target.
        kinds: The kinds of weights that are taken.
        dtypes: The dtypes that the model's weights may have, to be converted where needed.
        window: 1 where convolutions must be 1x1.
        groups: 1 where convolutions must not be grouped.
        spatial: The most axes over which a convolution may run.
        multiple: What outputs and inputs must be multiples of.
        least: The least number of outputs and inputs.
        sparsity: How many zeros it takes.
        unseen: What cannot be seen from the weights, in words.

    """

    source: str
    kinds: Words | None = None
    dtypes: Words | None = None
    window: Literal[1] | None = None
    groups: Literal[1] | None = None
    spatial: Literal[1, 2] | None = None
    multiple: Sizes | None = None
    least: Sizes | None = None
    sparsity: Sparsity | None = None
    unseen: str | None = None

    @property
    def condition(self) -> tuple[str, Any]:
        """The name of the field that is given, and its value."""
        return next(self._given())

    def _given(self) -> Iterator[tuple[str, Any]]:
        for name in type(self).model_fields:
            if name != "source" and (value := getattr(self, name)) is not None:
                yield name, value

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        if len(given := [name for name, _ in self._given()]) != 1:
            fields = [name for name in type(self).model_fields if name != "source"]
            raise ValueError(f"wanted one of {', '.join(fields)}; got {' and '.join(given) or 0}")
        for name, known in (("kinds", kind_names()), ("dtypes", FLOATS)):
            for word in getattr(self, name) or ():
                if word not in known:
                    raise ValueError(f"{name}: no {word!r:.80}: {nearest(word, known)}")
        return self

    def __str__(self) -> str:
        name, value = self.condition
        words = ", ".join(value) if isinstance(value, tuple) else value
        return {
            "window": "convolutions of 1x1 only",
            "groups": "no grouped convolutions",
            "spatial": f"convolutions over at most {words} axes",
        }.get(name, f"{_IN_WORDS.get(name, name)}: {words}")


_IN_WORDS = {
    "dtypes": "dtypes of the model",
    "multiple": "multiples",
    "least": "least sizes",
    "unseen": "not seen from weights",
}


class Use(Table):
    """One way in which a target uses zeros.

    Attributes:
        id: Names it in reports.
        gains: What is gained.
        says: What happens, in words.
        source: The key of a source of the target.
        pattern: The zeros that are used.
        suggests: The final sparsity of a suggested policy; None where the pattern fixes it.
        needs: The conditions.

    """

    id: str
    gains: Annotated[tuple[Gain, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    says: str
    source: str
    pattern: Annotated[Unstructured | Block | NM, BeforeValidator(_pattern)]
    suggests: Annotated[float, Field(gt=0, lt=1)] | None = None
    needs: Annotated[tuple[Need, ...], BeforeValidator(_as_tuple)] = ()

    @model_validator(mode="after")
    def _suggestion_is_enough(self) -> Self:
        fixed = self.pattern.fixed_sparsity
        if (fixed is None) == (self.suggests is None):
            raise ValueError(
                f"suggests belongs to a pattern without a sparsity of its own, and to each such; "
                f"{self.pattern.kind} is {'not ' if fixed is not None else ''}one"
            )
        if self.sparsity and not self.sparsity.meets(round(self.final * 10**6), 10**6):
            raise ValueError(f"suggests = {self.final} is no sparsity {self.sparsity}")
        return self

    @property
    def final(self) -> float:
        """The sparsity that a suggested policy ends at."""
        return float(self.pattern.fixed_sparsity or 0) if self.suggests is None else self.suggests

    @property
    def sparsity(self) -> Sparsity | None:
        """How many zeros it takes; None where the pattern says all."""
        return next((need.sparsity for need in self.needs if need.sparsity), None)

    @property
    def pattern_words(self) -> str:
        """The pattern in a word, such as ``2:4``, ``4x1`` or ``unstructured``."""
        if isinstance(self.pattern, NM):
            return f"{self.pattern.keep}:{self.pattern.of}"
        if isinstance(self.pattern, Block):
            return f"{self.pattern.out}x{self.pattern.in_}"
        return self.pattern.kind


class Note(Table):
    """What a user should know besides.

    Attributes:
        says: The text.
        source: The key of a source of the target.

    """

    says: str
    source: str


class Target(Table):
    """A runtime or hardware, and what it does with zeros.

    Attributes:
        version: The version of the format of the file, 1.
        name: The name on the command line: that of its file.
        title: The name for people.
        about: What it is, and what it is given.
        sources: Where each line comes from, by the keys that the lines name.
        uses: The ways in which it uses zeros, the best first; none if it makes no use of them.
        notes: What a user should know besides.

    """

    version: Literal[1]
    name: str
    title: str
    about: str
    sources: dict[str, str]
    uses: Annotated[tuple[Use, ...], BeforeValidator(_as_tuple)] = ()
    notes: Annotated[tuple[Note, ...], BeforeValidator(_as_tuple)] = ()

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        named = [use.source for use in self.uses] + [note.source for note in self.notes]
        named += [need.source for use in self.uses for need in use.needs]
        for source in named:
            if source not in self.sources:
                raise ValueError(f"no source {shown(source)}: {nearest(source, self.sources)}")
        if unused := self.sources.keys() - set(named):
            raise ValueError(f"no line has the source {shown(min(unused))}")
        ids = [use.id for use in self.uses]
        if len(set(ids)) < len(ids):
            raise ValueError(f"two uses have one id: {', '.join(ids)}")
        return self

    @property
    def gains(self) -> tuple[str, ...]:
        """What can be gained, the most important first; nothing if it makes no use of zeros."""
        return tuple(dict.fromkeys(gain for use in self.uses for gain in use.gains))

    def use(self, id: str) -> Use:  # noqa: A002 - the word of the file
        """Return the use of that id.

        Args:
            id: The id of one of its uses.

        """
        return next(use for use in self.uses if use.id == id)
