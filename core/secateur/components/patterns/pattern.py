"""What a pattern is: which weights stay or go together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from math import prod
from numbers import Integral
from typing import ClassVar

import numpy as np

from secateur.adapter import WeightSpec
from secateur.arrays.counts import keep_count
from secateur.components.component import Component
from secateur.kinds import kind_named
from secateur.layout import Array
from secateur.selection.groups import Pooled, RankedGroups, scores_problem
from secateur.selection.tiles import any_in_tiles, spread

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
        size = self.group_size(spec) or 1
        return keep_count(spec.size // size, sparsity) * size

    def group_size(self, spec: WeightSpec) -> int | None:
        """Return the elements of each group of a weight; None where groups differ in size.

        Args:
            spec: The weight.

        """
        if type(self).extent is Pattern.extent:  # a plugin's pattern whose groups are no tiles
            return None
        tile = tile_of(self.checked_extent(spec), spec.shape)
        if any(length % size for length, size in zip(spec.shape, tile, strict=True)):
            return None
        return prod(tile)

    def group_count(self, spec: WeightSpec) -> int:
        """Return the number of groups of a weight; its size, where these are no tiles.

        Args:
            spec: The weight.

        """
        if type(self).extent is Pattern.extent:
            return spec.size
        return prod(grid_of(self.checked_extent(spec), spec.shape))

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
