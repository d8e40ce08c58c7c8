"""Patterns: how weights are grouped, so that a group is kept or pruned as one.

``group`` turns the scores of elements into scores of groups, selection keeps some of the
groups, and ``expand`` turns their mask into a mask of the weight.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from secateur.adapter import WeightSpec
from secateur.components.component import Component
from secateur.kinds import kind_named
from secateur.layout import Array
from secateur.selection.groups import Pooled, RankedGroups
from secateur.selection.n_of_m import keep_in_sets
from secateur.selection.tiles import Tiles, channel_norms, spread


def plane(spec: WeightSpec) -> tuple[int, int]:
    """Return the axes of ``out`` and ``in``."""
    kind = kind_named(spec.kind)
    return kind.out_axis, kind.in_axis


class Pattern(Component):
    """The base of all patterns; a subclass writes `group` and `expand`."""

    family: ClassVar[str] = "pattern"
    hook: ClassVar[str] = "secateur_patterns"

    @property
    def fixed_sparsity(self) -> Fraction | None:
        """The sparsity that the pattern itself fixes, if it does."""
        return None

    @abstractmethod
    def group(self, elements: RankedGroups) -> RankedGroups:
        """Return the groups of a weight, ranked by their scores."""

    @abstractmethod
    def expand(self, kept: Array, spec: WeightSpec) -> Array:
        """Return the mask of the weight, canonical, from the mask of its groups."""

    def extent(self, spec: WeightSpec) -> Sequence[int | None] | None:
        """Return how far a group reaches along each canonical axis; None is all of it.

        Weights that are sharded over processes need it; groups are laid from index 0.
        """
        return None


class FixedPattern(Pattern):
    """The base of patterns that fix the sparsity themselves; a subclass writes `select`."""

    @abstractmethod
    def select(self, elements: RankedGroups) -> Array:
        """Return the mask of the weight, canonical."""

    def group(self, elements: RankedGroups) -> RankedGroups:
        return elements

    def expand(self, kept: Array, spec: WeightSpec) -> Array:
        return kept


class Unstructured(Pattern):
    """Each weight by itself."""

    kind = "unstructured"

    def group(self, elements: RankedGroups) -> RankedGroups:
        return elements

    def expand(self, kept: Array, spec: WeightSpec) -> Array:
        return kept


class Block(Pattern):
    """Tiles of `out` x `in` weights, each spatial position and gate by itself.

    Tiles are laid from index 0 of the (out, in) plane; a tile at the edge pools over what it
    holds.  ``score = mean`` (``pooling = "avg"``) or ``max`` of the scores in the tile, the
    mean summed in float64 in canonical order.

    >>> Block.model_validate({"out": 4, "in": 1}).to_dict()
    {'kind': 'block', 'out': 4, 'in': 1, 'pooling': 'avg'}
    """

    kind = "block"
    out: Annotated[int, Field(ge=1)] = 1
    in_: Annotated[int, Field(ge=1, alias="in")] = 1
    pooling: Literal["avg", "max"] = "avg"

    def extent(self, spec: WeightSpec) -> tuple[int, ...]:
        """Return the size of a tile along each canonical axis."""
        sizes = dict(zip(plane(spec), (self.out, self.in_), strict=True))
        return tuple(sizes.get(axis, 1) for axis in range(len(spec.shape)))

    def group(self, elements: RankedGroups) -> RankedGroups:
        return Tiles(elements, self.extent(elements.spec), self.pooling)

    def expand(self, kept: Array, spec: WeightSpec) -> Array:
        return spread(kept, self.extent(spec), spec.shape)


class NM(FixedPattern):
    """Keep `keep` of every `of` consecutive weights along ``in``.

    Sets begin at index 0; a short tail of ``r`` weights keeps ``min(keep, r)``.  Of equal
    weights in a set the lower index stays.  Its sparsity, ``1 - keep / of``, is fixed, so it
    takes a constant or one_shot schedule only, and no distribution.  Source: Mishra et al.
    2021, "Accelerating sparse deep neural networks", arXiv 2104.08378.

    >>> NM(keep=2, of=4).fixed_sparsity
    Fraction(1, 2)
    """

    kind = "n_m"
    keep: Annotated[int, Field(ge=1)]
    of: Annotated[int, Field(ge=2)]

    @model_validator(mode="after")
    def _keeps_fewer_than_all(self) -> Self:
        if self.keep >= self.of:
            raise ValueError(f"keep = {self.keep} must be below of = {self.of}")
        return self

    @property
    def fixed_sparsity(self) -> Fraction:
        return 1 - Fraction(self.keep, self.of)

    def extent(self, spec: WeightSpec) -> tuple[int, ...]:
        """Return the size of a set along ``in``."""
        inputs = plane(spec)[1]
        return tuple(self.of if axis == inputs else 1 for axis in range(len(spec.shape)))

    def select(self, elements: RankedGroups) -> Array:
        return keep_in_sets(elements, plane(elements.spec)[1], self.keep, self.of)


class Channel(Pattern):
    """Whole slices along one axis of the (out, in) plane: filters, rows or columns.

    ``score = sqrt(sum(score**2))`` over the slice, which for magnitude is its L2 norm,
    summed in float64 in canonical order.  Source: Li et al. 2017, "Pruning filters for
    efficient convnets", arXiv 1608.08710, with the L2 norm.
    """

    kind = "channel"
    axis: Literal["out", "in"] = "out"

    def extent(self, spec: WeightSpec) -> tuple[int | None, ...]:
        """Return 1 along the axis of the channels, and all of the others."""
        axis = self.axis_of(spec)
        return tuple(1 if other == axis else None for other in range(len(spec.shape)))

    def axis_of(self, spec: WeightSpec) -> int:
        """Return the canonical axis along which the channels lie."""
        return plane(spec)[self.axis == "in"]

    def group(self, elements: RankedGroups) -> RankedGroups:
        axis = self.axis_of(elements.spec)
        others = tuple(other for other in range(len(elements.shape)) if other != axis)
        previous = elements.previous
        if previous is not None:
            previous = np.asarray(previous.any(axis=others))
        return Pooled(elements.spec, channel_norms(elements, axis), previous)

    def expand(self, kept: Array, spec: WeightSpec) -> Array:
        shape = [1] * len(spec.shape)
        shape[self.axis_of(spec)] = -1
        return np.broadcast_to(kept.reshape(shape), spec.shape).copy()
