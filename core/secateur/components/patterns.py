"""Patterns: how weights are grouped, so that a group is kept or pruned as one.

``group`` turns the scores of elements into scores of groups, selection keeps some of the
groups, and ``expand`` turns their mask into a mask of the weight.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from math import prod, sqrt
from numbers import Integral
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from secateur.adapter import WeightSpec
from secateur.arrays.counts import keep_count
from secateur.components.component import Component
from secateur.kinds import kind_named
from secateur.layout import Array
from secateur.selection.groups import Pooled, RankedGroups, scores_problem
from secateur.selection.n_of_m import keep_in_sets
from secateur.selection.norms import Pooling, channel_norms
from secateur.selection.tiles import Tiles, any_in_tiles, spread

Extent = Sequence[int | None]
"""How far a group reaches along each canonical axis; None is all of it."""


def plane(spec: WeightSpec) -> tuple[int, int]:
    """Return the axes of ``out`` and ``in``."""
    kind = kind_named(spec.kind)
    return kind.out_axis, kind.in_axis


class Pattern(Component):
    """The base of all patterns: a subclass writes `extent` and `pool`.

    Groups are tiles, laid from index 0 along each canonical axis; a tile at the edge has the
    elements that are left.  `group` pools the scores and keeps pruned groups pruned, and
    `expand` turns the mask of the groups into the mask of the weight.  A pattern whose groups
    are no tiles overrides both instead of `pool`.

    Example:
        >>> class Rows(Pattern):
        ...     kind = "rows"
        ...
        ...     def extent(self, spec):
        ...         return (1, None)
        ...
        ...     def pool(self, scores, spec):
        ...         return scores.max(axis=1)
        >>> spec = WeightSpec("fc", "dense", "kernel", (2, 2), "float64", "fc")
        >>> groups = Rows().group(Pooled(spec, np.array([[1.0, 3.0], [2.0, 0.0]]), None))
        >>> groups.array().tolist()
        [[3.0], [2.0]]
        >>> Rows().expand(np.array([[True], [False]]), spec).tolist()
        [[True, True], [False, False]]

    """

    family: ClassVar[str] = "pattern"
    hook: ClassVar[str] = "secateur_patterns"

    @property
    def fixed_sparsity(self) -> Fraction | None:
        """The sparsity that the pattern itself fixes, if it does."""
        return None

    @property
    def adds_up(self) -> bool:
        """Whether the score of a group grows with the number of its elements."""
        return False

    def extent(self, spec: WeightSpec) -> Extent:
        """Return how far a group reaches along each canonical axis; None is all of it.

        Args:
            spec: The weight; ``secateur.kind_named(spec.kind)`` has its out and in axes.

        """
        raise NotImplementedError(
            "the pattern has no extent(), which says how far a group reaches along each axis"
        )

    def pool(self, scores: Array, spec: WeightSpec) -> Array:
        """Return the score of each group.

        Args:
            scores: The scores of all elements, canonical and C-contiguous, so that a NumPy
                reduction rounds alike in every framework.  Of a weight that is sharded over
                processes, these are the scores of some whole groups.
            spec: The weight, with the shape of `scores`.

        Returns:
            One float for each group, higher = keep.  The shape is the number of groups along
            each axis; axes whose extent is None may be left out.

        """
        raise NotImplementedError("the pattern has no pool(), which scores its groups")

    def group(self, elements: RankedGroups) -> RankedGroups:
        """Return the groups of a weight, ranked by their scores.

        Args:
            elements: The elements, ranked by theirs.

        Raises:
            ValueError: What `pool` returned has another shape, or `extent` does not fit.

        """
        spec = elements.spec
        extent = self.checked_extent(spec)
        tile, grid = tile_of(extent, spec.shape), grid_of(extent, spec.shape)
        alive = elements.previous
        if alive is not None:
            alive = any_in_tiles(alive, tile) if prod(grid) else np.empty(grid, bool)
        if prod(grid) == 0:
            return Pooled(spec, np.empty(grid), alive)
        scores = self.pool(np.ascontiguousarray(elements.array()), spec)
        bounded = [length for length, reach in zip(grid, extent, strict=True) if reach is not None]
        if problem := scores_problem(scores, list(dict.fromkeys([grid, tuple(bounded)]))):
            raise ValueError(f"pool() {problem}")
        return Pooled(spec, scores.reshape(grid).astype(np.float64), alive)

    def expand(self, kept: Array, spec: WeightSpec) -> Array:
        """Return the mask of the weight, canonical, from the mask of its groups.

        Args:
            kept: The mask of the groups, in the shape of what `group` returned.
            spec: The weight.

        """
        return spread(kept, tile_of(self.checked_extent(spec), spec.shape), spec.shape)

    def kept_elements(self, spec: WeightSpec, sparsity: float) -> int:
        """Return how many elements of a weight are kept at a sparsity of its groups.

        Exact where all groups have one size, and counted in single weights otherwise: which
        groups are kept then depends on the values.

        Args:
            spec: The weight.
            sparsity: The fraction of groups that are pruned.

        """
        if type(self).extent is Pattern.extent:  # a plugin's pattern whose groups are no tiles
            return keep_count(spec.size, sparsity)
        tile = tile_of(self.checked_extent(spec), spec.shape)
        if any(length % size for length, size in zip(spec.shape, tile, strict=True)):
            return keep_count(spec.size, sparsity)
        return keep_count(spec.size // prod(tile), sparsity) * prod(tile)

    def checked_extent(self, spec: WeightSpec) -> tuple[int | None, ...]:
        """Return `extent`, checked.

        Args:
            spec: The weight.

        Raises:
            ValueError: It is not one length, or None, for each axis.

        """
        extent = tuple(self.extent(spec))
        if len(extent) != len(spec.shape) or any(
            reach is not None and (not isinstance(reach, Integral) or reach < 1) for reach in extent
        ):
            raise ValueError(
                f"extent() gave {extent} for a weight of shape {spec.shape}; wanted a length "
                "from 1, or None, for each of its axes"
            )
        return extent


def tile_of(extent: Extent, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the size of a group along each axis, within the shape.

    >>> tile_of((4, None), (3, 5))
    (3, 5)
    """
    return tuple(
        max(length if reach is None else min(reach, length), 1)
        for reach, length in zip(extent, shape, strict=True)
    )


def grid_of(extent: Extent, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the number of groups along each axis.

    >>> grid_of((2, None), (3, 5))
    (2, 1)
    """
    return tuple(
        -(-length // size) for length, size in zip(shape, tile_of(extent, shape), strict=True)
    )


class FixedPattern(Pattern):
    """The base of patterns that fix the sparsity themselves.

    A subclass writes `extent`, how far the elements reach that compete with one another,
    `select`, which chooses among them, and `fixed_sparsity`.

    Example:
        >>> class FirstOfPair(FixedPattern):
        ...     kind = "first_of_pair"
        ...
        ...     @property
        ...     def fixed_sparsity(self):
        ...         return Fraction(1, 2)
        ...
        ...     def extent(self, spec):
        ...         return (1, 2)
        ...
        ...     def select(self, elements):
        ...         return np.arange(elements.size).reshape(elements.shape) % 2 == 0
        >>> spec = WeightSpec("fc", "dense", "kernel", (1, 4), "float64", "fc")
        >>> FirstOfPair().select(Pooled(spec, np.ones((1, 4)), None)).tolist()
        [[True, False, True, False]]

    """

    @abstractmethod
    def select(self, elements: RankedGroups) -> Array:
        """Return the mask of the weight, canonical, True = kept.

        Args:
            elements: The elements, ranked by their scores.  Of a weight that is sharded over
                processes, these are some whole groups of the pattern's extent.

        """

    def group(self, elements: RankedGroups) -> RankedGroups:
        return elements

    def expand(self, kept: Array, spec: WeightSpec) -> Array:
        return kept

    def kept_elements(self, spec: WeightSpec, sparsity: float) -> int:
        return keep_count(spec.size, sparsity)


class Unstructured(Pattern):
    """Each weight by itself."""

    kind = "unstructured"

    def extent(self, spec: WeightSpec) -> tuple[int, ...]:
        return (1,) * len(spec.shape)

    def group(self, elements: RankedGroups) -> RankedGroups:
        return elements

    def expand(self, kept: Array, spec: WeightSpec) -> Array:
        return kept


class Block(Pattern):
    """Tiles of `out` x `in` weights, each spatial position and gate by itself.

    Tiles are laid from index 0 of the (out, in) plane; a tile at the edge pools over the
    weights that it has.  Of the scores ``s`` in the tile, ``score = mean(s)`` (``pooling =
    "avg"``), ``max(s)``, ``min(s)``, ``sum(|s|)`` (``"l1"``) or ``sqrt(sum(s**2))`` (``"l2"``);
    what is summed is summed in float64 in canonical order.  A sum is less for a tile at the edge,
    which has fewer weights.

    >>> Block.model_validate({"out": 4, "in": 1}).to_dict()
    {'kind': 'block', 'out': 4, 'in': 1, 'pooling': 'avg'}
    """

    kind = "block"
    out: Annotated[int, Field(ge=1)] = 1
    in_: Annotated[int, Field(ge=1, alias="in")] = 1
    pooling: Pooling = "avg"

    @property
    def adds_up(self) -> bool:
        return self.pooling in ("l1", "l2")

    def extent(self, spec: WeightSpec) -> tuple[int, ...]:
        """Return the size of a tile along each canonical axis."""
        sizes = dict(zip(plane(spec), (self.out, self.in_), strict=True))
        return tuple(sizes.get(axis, 1) for axis in range(len(spec.shape)))

    def group(self, elements: RankedGroups) -> RankedGroups:
        return Tiles(elements, self._tile(elements.spec), self.pooling)

    def expand(self, kept: Array, spec: WeightSpec) -> Array:
        return spread(kept, self._tile(spec), spec.shape)

    def _tile(self, spec: WeightSpec) -> tuple[int, ...]:
        """Return the size of a tile, never more than the weight: a mask is built of whole ones."""
        return tile_of(self.extent(spec), spec.shape)


class NM(FixedPattern):
    """Keep `keep` of every `of` consecutive weights along ``in``.

    Sets begin at index 0; a short tail of ``r`` weights keeps ``min(keep, r)``.  Of equal
    weights in a set the lower index stays.  Its sparsity, ``1 - keep / of``, is fixed, so it
    takes a constant, one_shot or keep_zeros schedule only, and no distribution.  Source: Mishra
    et al. 2021, "Accelerating sparse deep neural networks", arXiv 2104.08378.

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

    def kept_elements(self, spec: WeightSpec, sparsity: float) -> int:
        length = spec.shape[plane(spec)[1]]
        if not spec.size or not sparsity:
            return spec.size
        in_a_row = length // self.of * self.keep + min(self.keep, length % self.of)
        return spec.size // length * in_a_row

    def select(self, elements: RankedGroups) -> Array:
        return keep_in_sets(elements, plane(elements.spec)[1], self.keep, self.of)


class Channel(Pattern):
    """Whole slices along one axis of the (out, in) plane: filters, rows or columns.

    Of the scores ``s`` in the slice, ``score = sqrt(sum(s**2))`` (``pooling = "l2"``: for magnitude
    the L2 norm), ``sum(|s|)`` (``"l1"``), ``max(s)`` or ``min(s)``; what is summed is summed in
    float64 in canonical order.  ``normalize = true`` divides a norm by that of as many ones,
    ``sqrt(n)`` or ``n`` for ``n`` weights in a slice, so that channels of weights of several sizes
    compare: under `Global`, LAMP does so anyway.  Source: Li et al. 2017, "Pruning filters for
    efficient convnets", arXiv 1608.08710, with the L1 norm.

    >>> Channel(pooling="l1", normalize=True).to_dict()
    {'kind': 'channel', 'axis': 'out', 'pooling': 'l1', 'normalize': True}
    """

    kind = "channel"
    axis: Literal["out", "in"] = "out"
    pooling: Literal["l2", "l1", "max", "min"] = "l2"
    normalize: bool = False

    @model_validator(mode="after")
    def _has_a_norm_to_normalize(self) -> Self:
        if self.normalize and self.pooling not in ("l1", "l2"):
            raise ValueError(
                f'normalize = true divides a norm by its size, and pooling = "{self.pooling}" does '
                'not grow with it; leave normalize out, or take pooling = "l1" or "l2"'
            )
        return self

    @property
    def adds_up(self) -> bool:
        return self.pooling in ("l1", "l2") and not self.normalize

    def normalized(self) -> dict[str, Any]:
        """Return the table of the fingerprint, in which later keys count where they are set."""
        table, later = self.to_dict(), {"pooling": "l2", "normalize": False}
        return {key: each for key, each in table.items() if later.get(key, table) != each}

    def divisor(self, spec: WeightSpec) -> float:
        """Return what the score of each channel of a weight is divided by."""
        length = spec.size // max(spec.shape[self.axis_of(spec)], 1)
        if not self.normalize or not length:
            return 1.0
        return float(length) if self.pooling == "l1" else sqrt(length)

    def extent(self, spec: WeightSpec) -> tuple[int | None, ...]:
        """Return 1 along the axis of the channels, and None along the others."""
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
        found = channel_norms(elements, axis, self.pooling) / self.divisor(elements.spec)
        return Pooled(elements.spec, found, previous)

    def expand(self, kept: Array, spec: WeightSpec) -> Array:
        shape = [1] * len(spec.shape)
        shape[self.axis_of(spec)] = -1
        return np.broadcast_to(kept.reshape(shape), spec.shape).copy()
