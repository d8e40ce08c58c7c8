"""The groups of one weight that compete to be kept, in memory order: see `arrays.positions`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from secateur.arrays.positions import (
    MemoryArray,
    MemoryOrder,
    Positions,
    Region,
    memory_axes,
)
from secateur.arrays.sortable_bits import score_keys
from secateur.layout import FLOATS, Array
from secateur.workers import SINGLE, Workers

if TYPE_CHECKING:
    from secateur.adapter import WeightSpec

Index = Callable[[Array], Array]
"""Turns canonical indices among the groups held here into those among all groups."""


class RankedGroups(ABC):
    """The groups of one weight that compete to be kept, ranked by their scores.

    Groups are elements, tiles or channels.  Those that an earlier mask has pruned rank below
    all others, so that masks only shrink.  Positions count groups in memory order.

    Attributes:
        spec: The weight.
        shape: The canonical shape of the groups that this process holds.
        axes: Their axes from the slowest to the fastest in memory.
        order: Converts between canonical indices and positions in memory.
        size: How many groups this process holds.
        bits: The width of the sortable keys.
        run: How many neighbours take about as long to read as one.

    Example:
        >>> from secateur.adapter import WeightSpec
        >>> spec = WeightSpec("fc", "dense", "kernel", (4, 2), "float64", "fc")
        >>> groups = Pooled(spec, np.array([0.5, 2.0]), previous=None)
        >>> groups.count, groups.array().tolist()
        (2, [0.5, 2.0])

    """

    bits: int
    run = 16  # of float32, what memory is read by

    def __init__(
        self,
        spec: WeightSpec,
        shape: tuple[int, ...],
        axes: tuple[int, ...],
        previous: Array | None,
    ) -> None:
        self.spec, self.shape, self.axes, self._previous = spec, shape, axes, previous
        self.order = MemoryOrder(shape, axes)
        self.size = self._count = self.order.size
        self._index: Index | None = None
        self._source: RankedGroups | None = None
        self._alive = None if previous is None else MemoryArray(previous, self.order)

    @property
    def previous(self) -> Array | None:
        """The canonical mask of the groups that were kept so far; None where all were."""
        return self._previous

    @property
    def count(self) -> int:
        """How many groups the weight has, those that other workers hold included."""
        return self._count

    @property
    def is_part(self) -> bool:
        """Whether other workers may hold groups of the same weight."""
        return self._index is not None

    def as_part_of(self, count: int, index: Index) -> Self:
        """Mark these as this worker's part of `count` groups.

        Args:
            count: How many groups the weight has.
            index: Turns canonical indices among these groups into those among all.

        Returns:
            The same object.

        """
        self._count, self._index = count, index
        return self

    def rescored(self, scores: Array) -> Pooled:
        """Return the same groups, ranked by other scores.

        Args:
            scores: One float for each group, in the canonical shape of `array`; higher = keep.

        Raises:
            ValueError: The scores are of another shape or dtype, or one is NaN.

        Example:
            >>> from secateur.adapter import WeightSpec
            >>> spec = WeightSpec("fc", "dense", "kernel", (4, 2), "float64", "fc")
            >>> groups = Pooled(spec, np.array([0.5, 2.0]), previous=None)
            >>> groups.rescored(groups.array() / 2).array().tolist()
            [0.25, 1.0]

        """
        if problem := scores_problem(scores, [self.shape]):
            raise ValueError(problem)
        return Pooled(self.spec, scores, self.previous).same_groups_as(self)

    def same_groups_as(self, other: RankedGroups) -> Self:
        """Mark these as the groups of `other`, ranked by other scores.

        Args:
            other: Groups of the same weight.

        Returns:
            The same object.

        """
        self._count, self._index = other._count, other._index
        return self.made_from(other)

    def made_from(self, source: RankedGroups) -> Self:
        """Mark these as made from the elements, or other groups, of the same weight.

        Args:
            source: What has the weight's content, for its digest.

        Returns:
            The same object.

        """
        if source is not self:
            self._source = source
        return self

    def digest(self, length: int, workers: Workers) -> int:
        """Return a digest of the weight's first elements, the same in every framework.

        Args:
            length: How many elements, in canonical order.
            workers: The processes that shard the weight.

        """
        return 0 if self._source is None else self._source.digest(length, workers)

    def deviation(self, workers: Workers = SINGLE) -> float:
        """Return the standard deviation of the weight's values, the same in every framework.

        It is that of all its values, about their mean, and summed exactly.

        Args:
            workers: The processes that shard the weight.

        Raises:
            ValueError: The groups are made from no weight.

        """
        if self._source is None:
            raise ValueError(f"{self.spec.name}: groups of scores alone have no values")
        return self._source.deviation(workers)

    def keys(self, positions: Positions) -> Array:
        """Return unsigned integers that order like the scores, higher = keep.

        Args:
            positions: Positions of groups in memory order: a range, or an array of them.

        """
        return self._ranking(self._score_keys(positions), positions)

    def _ranking(self, keys: Array, positions: Positions) -> Array:
        alive = self._alive_at(positions)
        return keys if alive is None else _below_all(keys, alive)

    def _alive_at(self, positions: Positions) -> Array | None:
        return None if self._alive is None else self._alive[positions]

    @abstractmethod
    def scores(self, positions: Positions) -> Array:
        """Return the scores at some positions.

        Args:
            positions: Positions of groups in memory order: a range, or an array of them.

        """

    @abstractmethod
    def _score_keys(self, positions: Positions) -> Array: ...

    def scores_in(self, region: Region) -> Array:
        """Return the scores in a canonical region.

        Args:
            region: A range along each canonical axis.

        """
        positions = self.order.positions_in(region)
        return self.scores(positions.reshape(-1)).reshape(positions.shape)

    def keys_in(self, region: Region) -> Array:
        """Return the keys in a canonical region.

        Args:
            region: A range along each canonical axis.

        """
        keys = self._score_keys_in(region)
        return keys if self.previous is None else _below_all(keys, self.previous[region])

    def _score_keys_in(self, region: Region) -> Array:
        return score_keys(self.scores_in(region))

    def is_alive(self, positions: Array) -> Array:
        """Return which of the groups at some positions were kept so far.

        Args:
            positions: Positions of groups in memory order: a range, or an array of them.

        """
        alive = self._alive_at(positions)
        return np.ones(len(positions), bool) if alive is None else alive

    def index(self, positions: Array) -> Array:
        """Return the canonical index, among all groups of the weight, of each position.

        Args:
            positions: Positions of groups in memory order: a range, or an array of them.

        """
        index = self.order.index(positions)
        return index if self._index is None else self._index(index)

    def canonical(self, flat: Array) -> Array:
        """Return one value per position as a view in canonical shape.

        Args:
            flat: One value for each group that this process holds, in memory order.

        """
        return self.order.canonical(flat)

    def array(self) -> Array:
        """Return the scores of all groups that this process holds, in canonical shape."""
        return self.canonical(self.scores(slice(0, self.size)))


def _below_all(keys: Array, alive: Array) -> Array:
    """Add one to the keys of unpruned groups and zero the rest, so that pruned ones rank last."""
    keys += keys.dtype.type(1)
    keys *= alive
    return keys


@cache
def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.name in FLOATS  # a name takes NumPy longer than a small piece of scores


def scores_problem(scores: object, shapes: list[tuple[int, ...]]) -> str | None:
    """Return what is wrong with some scores, which must be floats of one of these shapes."""
    if not isinstance(scores, np.ndarray):
        wanted = " or ".join(map(str, shapes))
        return (
            f"gave {type(scores).__name__} as scores; wanted an array of floats of shape {wanted}"
        )
    if scores.shape not in shapes or not _is_float(scores.dtype):
        wanted = " or ".join(map(str, shapes))
        return (
            f"gave {scores.dtype} scores of shape {scores.shape}; wanted floats of shape {wanted}"
        )
    return "gave a score that is NaN" if np.isnan(scores).any() else None


class Pooled(RankedGroups):
    """Groups whose scores are in an array.

    Args:
        spec: The weight.
        scores: One float for each group, canonical; higher = keep.
        previous: The canonical mask of the groups that were kept so far, or None.

    Example:
        >>> from secateur.adapter import WeightSpec
        >>> spec = WeightSpec("fc", "dense", "kernel", (2, 4), "float32", "fc")
        >>> Pooled(spec, np.array([1.0, 3.0]), previous=np.array([True, False])).count
        2

    """

    def __init__(self, spec: WeightSpec, scores: Array, previous: Array | None) -> None:
        super().__init__(spec, scores.shape, memory_axes(scores), previous)
        self._scores = MemoryArray(scores, self.order)
        self.bits = 8 * scores.itemsize

    def scores(self, positions: Positions) -> Array:
        return self._scores[positions]

    def _score_keys(self, positions: Positions) -> Array:
        return score_keys(self._scores[positions])

    def scores_in(self, region: Region) -> Array:
        return self._scores.array[region]
