"""The elements of one weight, scored where they are read, piece by piece in memory order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from secateur.arrays import moments, sizes
from secateur.arrays.chunks import map_threads, pieces
from secateur.arrays.positions import (
    MemoryArray,
    MemoryOrder,
    Positions,
    Region,
    memory_axes,
    regions,
)
from secateur.arrays.sortable_bits import score_keys
from secateur.arrays.stored import FileOrder, StoredArray
from secateur.errors import PluginError, WeightError
from secateur.layout import FLOATS, Array
from secateur.selection.component_errors import attributed, component_error
from secateur.selection.content import content_key, mixed_sum, total_mod_64
from secateur.selection.context import Context, Scorer
from secateur.selection.groups import RankedGroups, scores_problem
from secateur.workers import SINGLE, Workers

if TYPE_CHECKING:
    from secateur.adapter import WeightSpec


class Elements(RankedGroups):
    """A weight's elements, scored by a criterion where they are read.

    Args:
        spec: The weight.
        values: Its values, canonical; or where they lie in a file.
        criterion: What scores them.
        step: The step, for the criterion and for errors.
        gradient: Returns the gradient of the last update, canonical.
        memory: The arrays of the criterion's memory, canonical.
        previous: The canonical mask so far.
        compare_as: The dtype to score in, where weights of several dtypes compete.

    """

    def __init__(
        self,
        spec: WeightSpec,
        values: Array | StoredArray,
        criterion: Scorer,
        step: int = 0,
        *,
        gradient: Callable[[], Array | None] = lambda: None,
        memory: Mapping[str, Array] | None = None,
        previous: Array | None = None,
        compare_as: np.dtype[Any] | None = None,
    ) -> None:
        if values.dtype.name not in FLOATS:
            raise WeightError(
                f"{spec.name}: a weight of dtype {values.dtype} cannot be pruned; "
                f"there are: {', '.join(FLOATS)}"
            )
        if not isinstance(values, StoredArray):
            values = values.astype(values.dtype.newbyteorder("="), copy=False)
        axes = values.axes if isinstance(values, StoredArray) else memory_axes(values)
        super().__init__(spec, values.shape, axes, previous)
        self._criterion, self._step, self._gradient = criterion, step, gradient
        self._values = _by_position(values, self.order)
        self._compare_as = compare_as or values.dtype
        self._memory = {n: MemoryArray(array, self.order) for n, array in (memory or {}).items()}
        self._scored = None if criterion.elementwise else self._score_whole(values)
        self.bits = 8 * self._score_keys(slice(0, 0)).itemsize
        if isinstance(values, StoredArray):
            self.run = sizes.READ_TOGETHER

    def _context(self, positions: Positions) -> Context:
        def index() -> Array:
            if isinstance(positions, slice):
                return self.index(np.arange(positions.start, positions.stop))
            return self.index(positions)

        def gradient() -> Array | None:
            found = self._gradient()
            return None if found is None else MemoryArray(found, self.order)[positions]

        def memory() -> dict[str, Array]:
            return {name: array[positions] for name, array in self._memory.items()}

        return Context(self.spec.name, self._step, index, gradient, memory)

    def _context_in(self, region: Region) -> Context:
        def index() -> Array:
            positions = self.order.positions_in(region)
            return self.index(positions.reshape(-1)).reshape(positions.shape)

        def gradient() -> Array | None:
            found = self._gradient()
            return None if found is None else found[region]

        def memory() -> dict[str, Array]:
            return {name: array.array[region] for name, array in self._memory.items()}

        return Context(self.spec.name, self._step, index, gradient, memory)

    def _score_whole(self, values: Array | StoredArray) -> MemoryArray:
        if isinstance(values, StoredArray):
            values = values.whole()
        context = self._context_in(tuple(slice(0, length) for length in self.shape))
        self._check(np.isfinite(values).all())
        with self._attributed():
            scored = np.asarray(self._criterion.score(values, context))
        return MemoryArray(self._ranked(scored, self.shape), self.order)

    def _attributed(self) -> AbstractContextManager[None]:
        return attributed(self._criterion, self._step, [self.spec.name])

    def scores(self, positions: Positions) -> Array:
        if self._scored is not None:
            return self._scored[positions]
        return self._score(self._values[positions], self._context(positions))

    def scores_in(self, region: Region) -> Array:
        if self._scored is not None:
            return self._scored.array[region]
        return self._score(self._values.array[region], self._context_in(region))

    def _score_keys_in(self, region: Region) -> Array:
        if self._scored is not None:
            return super()._score_keys_in(region)
        return self._keys(self._values.array[region], self._context_in(region))

    def _score_keys(self, positions: Positions) -> Array:
        if self._scored is not None:
            return score_keys(self.scores(positions))
        return self._keys(self._values[positions], self._context(positions))

    def _score(self, values: Array, context: Context) -> Array:
        values = values.astype(self._compare_as, copy=False)
        self._check(np.isfinite(values).all())
        with self._attributed():
            scores = np.asarray(self._criterion.score(values, context))
        return self._ranked(scores, values.shape)

    def _ranked(self, scores: Array, shape: tuple[int, ...]) -> Array:
        if problem := scores_problem(scores, [shape]):
            raise component_error(self._criterion, self._step, [self.spec.name], problem)
        return scores

    def _keys(self, values: Array, context: Context) -> Array:
        values = values.astype(self._compare_as, copy=False)
        try:
            with self._attributed():
                keys = self._criterion.keys(values, context)
                finite = self._criterion.finite(values, keys)
        except PluginError:
            self._check(np.isfinite(values).all())  # a criterion may fail over a NaN in the weight
            raise
        self._check(finite)
        return keys

    def keys_of(self, start: int, values: Array) -> Array:
        """Return the keys of some elements that were read already, by an elementwise criterion.

        Args:
            start: The position of the first of them.
            values: Their values, flat, in memory order.

        """
        positions = slice(start, start + len(values))
        return self._ranking(self._keys(values, self._context(positions)), positions)

    def digest(self, length: int, workers: Workers) -> int:
        values = self._values.array
        key = content_key(values.dtype.name, self.spec.shape)

        def of_whole(some: tuple[int, int]) -> int:
            found = [values[region].reshape(-1) for region in regions(self.shape, *some)]
            return mixed_sum(np.concatenate(found), np.arange(*some), key)

        def of_part(some: tuple[int, int]) -> int:
            index = self.index(np.arange(*some))
            first = index < length
            return mixed_sum(self._values[slice(*some)][first], index[first], key)

        if not self.is_part:
            every = pieces(0, min(length, self.size), sizes.DIGESTED)
            return sum(map_threads(of_whole, list(every))) % (1 << 64)
        own = sum(map_threads(of_part, list(pieces(0, self.size, sizes.DIGESTED)))) % (1 << 64)
        return total_mod_64(own, workers)

    def deviation(self, workers: Workers = SINGLE) -> float:
        def add(some: tuple[int, int]) -> moments.Sums:
            values = self._values[slice(*some)]
            self._check(np.isfinite(values).all())
            return moments.sums(values)

        found = moments.added(map_threads(add, list(pieces(0, self.size, sizes.CHUNK))))
        count = self.size
        if self.is_part:
            found = moments.from_digits(workers.total(moments.as_digits(found)))
            count = self.count
        return moments.square_root(moments.variance(found, count))

    def check(self) -> None:
        """Read everything once.

        Raises:
            WeightError: A value is NaN or infinite.
            PluginError: The criterion fails.

        """
        for start, stop in pieces(0, self.size, sizes.CHUNK):
            self._score_keys(slice(start, stop))

    def _check(self, finite: bool | np.bool_) -> None:
        if finite:
            return
        for start, stop in pieces(0, self.size, sizes.CHUNK):
            for region in regions(self.shape, start, stop):
                values = self._values.array[region]
                found = np.argwhere(~np.isfinite(values))
                if not len(found):
                    continue
                position = np.array([self.order.positions_in(region)[tuple(found[0])]])
                index = np.unravel_index(int(self.index(position)[0]), self.spec.shape)
                raise WeightError(
                    f"{self.spec.name}: the value at {tuple(map(int, index))} (canonical) is "
                    f"{values[tuple(found[0])]}, which cannot be ranked; nothing was changed. "
                    "Find where training diverged, or fix the checkpoint, and try again."
                )


def _by_position(values: Array | StoredArray, order: MemoryOrder) -> MemoryArray | FileOrder:
    return FileOrder(values) if isinstance(values, StoredArray) else MemoryArray(values, order)
