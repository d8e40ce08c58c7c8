"""The scores of one weight, read piece by piece in memory order (see `secateur.places`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from secateur.criteria import Context, Criterion, Magnitude
from secateur.errors import WeightError
from secateur.keys import FLOATS, score_keys
from secateur.layout import Array
from secateur.parallel import CHUNK, pieces
from secateur.places import Box, InOrder, Order, Places, boxes, memory_order
from secateur.running import fault, running

if TYPE_CHECKING:
    from collections.abc import Callable

    from secateur.adapter import WeightSpec


class Ranked(ABC):
    """The groups of one weight, which compete to be kept, and their keys of `bits` bits.

    `shape` is their canonical shape and `axes` the order of its axes in memory; places are
    counted in memory order.  Groups that the mask in force has pruned already rank below all
    others, so that masks only shrink.
    """

    bits: int

    def __init__(
        self,
        spec: WeightSpec,
        shape: tuple[int, ...],
        axes: tuple[int, ...],
        in_force: Array | None,
    ) -> None:
        self.spec, self.shape, self.axes, self._in_force = spec, shape, axes, in_force
        self.order = Order(shape, axes)
        self.size = self._count = self.order.size
        self._global_index: Callable[[Array], Array] | None = None
        self._alive = None if in_force is None else InOrder(in_force, self.order)

    @property
    def in_force(self) -> Array | None:
        """The canonical mask of the groups that were kept so far."""
        return self._in_force

    @property
    def count(self) -> int:
        """How many groups the weight has, over all workers that hold a shard of it."""
        return self._count

    def place(self, count: int, index: Callable[[Array], Array]) -> Self:
        """Say that these are some of `count` groups, the others being with other workers.

        index: gives the canonical index among all of them of some of the places here.
        """
        self._count, self._global_index = count, index
        return self

    def keys(self, places: Places) -> Array:
        """Return unsigned integers that order like the scores, higher = keep."""
        keys = self._score_keys(places)
        alive = self._alive_at(places)
        return keys if alive is None else _below_all(keys, alive)

    def _alive_at(self, places: Places) -> Array | None:
        return None if self._alive is None else self._alive[places]

    @abstractmethod
    def scores(self, places: Places) -> Array:
        """Return the scores themselves."""

    @abstractmethod
    def _score_keys(self, places: Places) -> Array: ...

    def scores_in(self, box: Box) -> Array:
        """Return the scores in a canonical box."""
        places = self.order.places_in(box)
        return self.scores(places.reshape(-1)).reshape(places.shape)

    def keys_in(self, box: Box) -> Array:
        """Return the keys in a canonical box."""
        keys = self._score_keys_in(box)
        return keys if self.in_force is None else _below_all(keys, self.in_force[box])

    def _score_keys_in(self, box: Box) -> Array:
        return score_keys(self.scores_in(box))

    def is_alive(self, places: Array) -> Array:
        """Tell which of some groups were kept so far."""
        alive = self._alive_at(places)
        return np.ones(len(places), bool) if alive is None else alive

    def index(self, places: Array) -> Array:
        """Return the canonical index of each place."""
        if self._global_index is not None:
            return self._global_index(places)
        return self.order.index(places)

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


class Elements(Ranked):
    """A weight's elements, scored by a criterion where they are read.

    values: canonical.  gradient: gives that of the last update, canonical.  compare_as: the
    dtype to score in, where weights of several dtypes compete.
    """

    def __init__(
        self,
        spec: WeightSpec,
        values: Array,
        criterion: Criterion,
        step: int = 0,
        *,
        gradient: Callable[[], Array | None] = lambda: None,
        in_force: Array | None = None,
        compare_as: np.dtype[Any] | None = None,
    ) -> None:
        if values.dtype.name not in FLOATS:
            raise WeightError(
                f"{spec.name}: a weight of dtype {values.dtype} cannot be pruned; "
                f"there are: {', '.join(FLOATS)}"
            )
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        super().__init__(spec, values.shape, memory_order(values), in_force)
        self._criterion, self._step, self._gradient = criterion, step, gradient
        self._values, self._compare_as = InOrder(values, self.order), compare_as or values.dtype
        self._scored = None if criterion.elementwise else self._score_whole(values)
        self.bits = 8 * self._score_keys(slice(0, 0)).itemsize

    def _context(self, places: Places) -> Context:
        def index() -> Array:
            if isinstance(places, slice):
                return self.index(np.arange(places.start, places.stop))
            return self.index(places)

        def gradient() -> Array | None:
            found = self._gradient()
            return None if found is None else InOrder(found, self.order)[places]

        return Context(self.spec.name, self._step, index, gradient)

    def _context_in(self, box: Box) -> Context:
        def index() -> Array:
            places = self.order.places_in(box)
            return self.index(places.reshape(-1)).reshape(places.shape)

        def gradient() -> Array | None:
            found = self._gradient()
            return None if found is None else found[box]

        return Context(self.spec.name, self._step, index, gradient)

    def _score_whole(self, values: Array) -> InOrder:
        context = self._context_in(tuple(slice(0, length) for length in self.shape))
        self._check(np.isfinite(values).all())
        with running(self._criterion, self._step, [self.spec.name]):
            scored = np.asarray(self._criterion.score(values, context))
        if scored.shape != self.shape or scored.dtype.name not in FLOATS:
            raise fault(
                self._criterion,
                self._step,
                [self.spec.name],
                f"gave {scored.dtype} scores of shape {scored.shape}; wanted floats of shape "
                f"{self.shape}",
            )
        return InOrder(scored, self.order)

    def scores(self, places: Places) -> Array:
        if self._scored is not None:
            return self._ranked(self._scored[places])
        return self._score(self._values[places], self._context(places))

    def scores_in(self, box: Box) -> Array:
        if self._scored is not None:
            return self._ranked(self._scored.array[box])
        return self._score(self._values.array[box], self._context_in(box))

    def _score_keys_in(self, box: Box) -> Array:
        if self._scored is not None:
            return super()._score_keys_in(box)
        return self._keys(self._values.array[box], self._context_in(box))

    def _score_keys(self, places: Places) -> Array:
        if self._scored is not None:
            return score_keys(self.scores(places))
        return self._keys(self._values[places], self._context(places))

    def _score(self, values: Array, context: Context) -> Array:
        values = values.astype(self._compare_as, copy=False)
        self._check(np.isfinite(values).all())
        with running(self._criterion, self._step, [self.spec.name]):
            scores = self._criterion.score(values, context)
        return self._ranked(scores)

    def _keys(self, values: Array, context: Context) -> Array:
        values = values.astype(self._compare_as, copy=False)
        with running(self._criterion, self._step, [self.spec.name]):
            keys = self._criterion.keys(values, context)
            finite = self._criterion.finite(values, keys)
        self._check(finite)
        return keys

    def _ranked(self, scores: Array) -> Array:
        if np.isnan(scores).any():
            raise fault(self._criterion, self._step, [self.spec.name], "a score is NaN")
        return scores

    def check(self) -> None:
        """Raise WeightError for a NaN or an infinity, or what a plugin's criterion raises."""
        for start, stop in pieces(0, self.size, CHUNK):
            self._check(np.isfinite(self._values[start:stop]).all())
            if type(self._criterion) is not Magnitude:  # which cannot fail
                self.scores(slice(start, stop))

    def _check(self, finite: bool | np.bool_) -> None:
        if finite:
            return
        for start, stop in pieces(0, self.size, CHUNK):
            for box in boxes(self.shape, start, stop):
                values = self._values.array[box]
                found = np.argwhere(~np.isfinite(values))
                if not len(found):
                    continue
                place = np.array([self.order.places_in(box)[tuple(found[0])]])
                index = np.unravel_index(int(self.index(place)[0]), self.spec.shape)
                raise WeightError(
                    f"{self.spec.name}: the value at {tuple(map(int, index))} (canonical) is "
                    f"{values[tuple(found[0])]}, which cannot be ranked; nothing was changed. "
                    "Find where training diverged, or mend the checkpoint, and try again."
                )


class Pooled(Ranked):
    """Groups of elements, their scores computed beforehand."""

    def __init__(self, spec: WeightSpec, scores: Array, in_force: Array | None) -> None:
        super().__init__(spec, scores.shape, memory_order(scores), in_force)
        self._scores = InOrder(scores, self.order)
        self.bits = 8 * scores.itemsize

    def scores(self, places: Places) -> Array:
        return self._scores[places]

    def _score_keys(self, places: Places) -> Array:
        return score_keys(self._scores[places])

    def scores_in(self, box: Box) -> Array:
        return self._scores.array[box]
