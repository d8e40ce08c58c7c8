"""The scores of one weight, read piece by piece in memory order: see `arrays.positions`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from secateur.arrays.chunks import CHUNK, pieces
from secateur.arrays.positions import Box, MemoryArray, MemoryOrder, Positions, boxes, memory_axes
from secateur.arrays.sortable_bits import score_keys
from secateur.errors import WeightError
from secateur.layout import FLOATS, Array
from secateur.selection.component_errors import attributed, component_error
from secateur.selection.context import Context, Scorer

if TYPE_CHECKING:
    from collections.abc import Callable

    from secateur.adapter import WeightSpec


class RankedGroups(ABC):
    """The groups of one weight, which compete to be kept, and their keys of `bits` bits.

    `shape` is their canonical shape and `axes` the order of its axes in memory; positions are
    counted in memory order.  Groups that the mask in force has pruned already rank below all
    others, so that masks only shrink.
    """

    bits: int

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
        self._global_index: Callable[[Array], Array] | None = None
        self._alive = None if previous is None else MemoryArray(previous, self.order)

    @property
    def previous(self) -> Array | None:
        """The canonical mask of the groups that were kept so far."""
        return self._previous

    @property
    def count(self) -> int:
        """How many groups the weight has, over all workers that hold a shard of it."""
        return self._count

    def place(self, count: int, index: Callable[[Array], Array]) -> Self:
        """Say that these are some of `count` groups, the others being with other workers.

        index: gives the canonical index among all of them of some of the positions here.
        """
        self._count, self._global_index = count, index
        return self

    def keys(self, positions: Positions) -> Array:
        """Return unsigned integers that order like the scores, higher = keep."""
        keys = self._score_keys(positions)
        alive = self._alive_at(positions)
        return keys if alive is None else _below_all(keys, alive)

    def _alive_at(self, positions: Positions) -> Array | None:
        return None if self._alive is None else self._alive[positions]

    @abstractmethod
    def scores(self, positions: Positions) -> Array:
        """Return the scores themselves."""

    @abstractmethod
    def _score_keys(self, positions: Positions) -> Array: ...

    def scores_in(self, box: Box) -> Array:
        """Return the scores in a canonical box."""
        positions = self.order.positions_in(box)
        return self.scores(positions.reshape(-1)).reshape(positions.shape)

    def keys_in(self, box: Box) -> Array:
        """Return the keys in a canonical box."""
        keys = self._score_keys_in(box)
        return keys if self.previous is None else _below_all(keys, self.previous[box])

    def _score_keys_in(self, box: Box) -> Array:
        return score_keys(self.scores_in(box))

    def is_alive(self, positions: Array) -> Array:
        """Tell which of some groups were kept so far."""
        alive = self._alive_at(positions)
        return np.ones(len(positions), bool) if alive is None else alive

    def index(self, positions: Array) -> Array:
        """Return the canonical index of each place."""
        if self._global_index is not None:
            return self._global_index(positions)
        return self.order.index(positions)

    def canonical(self, flat: Array) -> Array:
        """Return one value per place as a canonical view."""
        return self.order.canonical(flat)

    def array(self) -> Array:
        """Return all scores, in canonical layout."""
        return self.canonical(self.scores(slice(0, self.size)))


def _below_all(keys: Array, alive: Array) -> Array:
    """Lift the keys of the living by one, and set the others to zero, below them all."""
    keys += keys.dtype.type(1)
    keys *= alive
    return keys


class Elements(RankedGroups):
    """A weight's elements, scored by a criterion where they are read.

    values: canonical.  gradient: gives that of the last update, canonical.  compare_as: the
    dtype to score in, where weights of several dtypes compete.
    """

    def __init__(
        self,
        spec: WeightSpec,
        values: Array,
        criterion: Scorer,
        step: int = 0,
        *,
        gradient: Callable[[], Array | None] = lambda: None,
        previous: Array | None = None,
        compare_as: np.dtype[Any] | None = None,
    ) -> None:
        if values.dtype.name not in FLOATS:
            raise WeightError(
                f"{spec.name}: a weight of dtype {values.dtype} cannot be pruned; "
                f"there are: {', '.join(FLOATS)}"
            )
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        super().__init__(spec, values.shape, memory_axes(values), previous)
        self._criterion, self._step, self._gradient = criterion, step, gradient
        self._values, self._compare_as = MemoryArray(values, self.order), compare_as or values.dtype
        self._scored = None if criterion.elementwise else self._score_whole(values)
        self.bits = 8 * self._score_keys(slice(0, 0)).itemsize

    def _context(self, positions: Positions) -> Context:
        def index() -> Array:
            if isinstance(positions, slice):
                return self.index(np.arange(positions.start, positions.stop))
            return self.index(positions)

        def gradient() -> Array | None:
            found = self._gradient()
            return None if found is None else MemoryArray(found, self.order)[positions]

        return Context(self.spec.name, self._step, index, gradient)

    def _context_in(self, box: Box) -> Context:
        def index() -> Array:
            positions = self.order.positions_in(box)
            return self.index(positions.reshape(-1)).reshape(positions.shape)

        def gradient() -> Array | None:
            found = self._gradient()
            return None if found is None else found[box]

        return Context(self.spec.name, self._step, index, gradient)

    def _score_whole(self, values: Array) -> MemoryArray:
        context = self._context_in(tuple(slice(0, length) for length in self.shape))
        self._check(np.isfinite(values).all())
        with attributed(self._criterion, self._step, [self.spec.name]):
            scored = np.asarray(self._criterion.score(values, context))
        if scored.shape != self.shape or scored.dtype.name not in FLOATS:
            raise component_error(
                self._criterion,
                self._step,
                [self.spec.name],
                f"gave {scored.dtype} scores of shape {scored.shape}; wanted floats of shape "
                f"{self.shape}",
            )
        return MemoryArray(scored, self.order)

    def scores(self, positions: Positions) -> Array:
        if self._scored is not None:
            return self._ranked(self._scored[positions])
        return self._score(self._values[positions], self._context(positions))

    def scores_in(self, box: Box) -> Array:
        if self._scored is not None:
            return self._ranked(self._scored.array[box])
        return self._score(self._values.array[box], self._context_in(box))

    def _score_keys_in(self, box: Box) -> Array:
        if self._scored is not None:
            return super()._score_keys_in(box)
        return self._keys(self._values.array[box], self._context_in(box))

    def _score_keys(self, positions: Positions) -> Array:
        if self._scored is not None:
            return score_keys(self.scores(positions))
        return self._keys(self._values[positions], self._context(positions))

    def _score(self, values: Array, context: Context) -> Array:
        values = values.astype(self._compare_as, copy=False)
        self._check(np.isfinite(values).all())
        with attributed(self._criterion, self._step, [self.spec.name]):
            scores = self._criterion.score(values, context)
        return self._ranked(scores)

    def _keys(self, values: Array, context: Context) -> Array:
        values = values.astype(self._compare_as, copy=False)
        with attributed(self._criterion, self._step, [self.spec.name]):
            keys = self._criterion.keys(values, context)
            finite = self._criterion.finite(values, keys)
        self._check(finite)
        return keys

    def _ranked(self, scores: Array) -> Array:
        if np.isnan(scores).any():
            raise component_error(self._criterion, self._step, [self.spec.name], "a score is NaN")
        return scores

    def check(self) -> None:
        """Raise WeightError for a NaN or an infinity, or what a plugin's criterion raises."""
        for start, stop in pieces(0, self.size, CHUNK):
            self._score_keys(slice(start, stop))

    def _check(self, finite: bool | np.bool_) -> None:
        if finite:
            return
        for start, stop in pieces(0, self.size, CHUNK):
            for box in boxes(self.shape, start, stop):
                values = self._values.array[box]
                found = np.argwhere(~np.isfinite(values))
                if not len(found):
                    continue
                place = np.array([self.order.positions_in(box)[tuple(found[0])]])
                index = np.unravel_index(int(self.index(place)[0]), self.spec.shape)
                raise WeightError(
                    f"{self.spec.name}: the value at {tuple(map(int, index))} (canonical) is "
                    f"{values[tuple(found[0])]}, which cannot be ranked; nothing was changed. "
                    "Find where training diverged, or mend the checkpoint, and try again."
                )


class Pooled(RankedGroups):
    """Groups of elements, their scores computed beforehand."""

    def __init__(self, spec: WeightSpec, scores: Array, previous: Array | None) -> None:
        super().__init__(spec, scores.shape, memory_axes(scores), previous)
        self._scores = MemoryArray(scores, self.order)
        self.bits = 8 * scores.itemsize

    def scores(self, positions: Positions) -> Array:
        return self._scores[positions]

    def _score_keys(self, positions: Positions) -> Array:
        return score_keys(self._scores[positions])

    def scores_in(self, box: Box) -> Array:
        return self._scores.array[box]
