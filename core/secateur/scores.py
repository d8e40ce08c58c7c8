"""The scores of one weight, read piece by piece in memory order.

Selection does not care in which order it meets the scores, but processors do: a Keras
kernel reaches us as a transposed view.  So scores are read, and masks are written, in the
order in which the values lie in memory; only ties need the canonical index.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from secateur.criteria import Context, Criterion
from secateur.errors import WeightError
from secateur.keys import FLOATS, score_keys
from secateur.layout import Array
from secateur.running import fault, running

if TYPE_CHECKING:
    from collections.abc import Callable

    from secateur.adapter import WeightSpec

Places = slice | Array
"""Flat positions in memory order."""


def memory_order(array: Array) -> tuple[int, ...]:
    """Return the axes from the slowest to the fastest in memory.

    >>> memory_order(np.zeros((3, 4)).T)
    (1, 0)
    """
    return tuple(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))


class Ranked(ABC):
    """The groups of one weight, which compete to be kept, and their keys of `bits` bits.

    `shape` is their canonical shape and `axes` the order of its axes in memory; places are
    counted in memory order.  `in_force` is the canonical mask of groups that were kept so
    far: those pruned already rank below all others, so that masks only shrink.
    """

    bits: int

    def __init__(
        self,
        spec: WeightSpec,
        shape: tuple[int, ...],
        axes: tuple[int, ...],
        in_force: Array | None,
    ) -> None:
        self.spec, self.shape, self.axes, self.in_force = spec, shape, axes, in_force
        self.size = self._count = prod(shape)
        self._global_index: Callable[[Array], Array] | None = None
        self._alive = None if in_force is None else in_force.transpose(axes).reshape(-1)

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
        if self._alive is not None:
            keys += keys.dtype.type(1)
            keys *= self._alive[places]
        return keys

    @abstractmethod
    def scores(self, places: Places) -> Array:
        """Return the scores themselves."""

    @abstractmethod
    def _score_keys(self, places: Places) -> Array: ...

    def index(self, places: Array) -> Array:
        """Return the canonical index of each place."""
        if self._global_index is not None:
            return self._global_index(places)
        return self.local_index(places)

    def local_index(self, places: Array) -> Array:
        """Return the canonical index of each place among the groups that are here."""
        if self.axes == tuple(range(len(self.axes))):
            return places
        shape = [self.shape[axis] for axis in self.axes]
        where = dict(zip(self.axes, np.unravel_index(places, shape), strict=True))
        return np.ravel_multi_index([where[axis] for axis in range(len(shape))], self.shape)

    def canonical(self, flat: Array) -> Array:
        """Return one value per place as a canonical view."""
        shape = [self.shape[axis] for axis in self.axes]
        return flat.reshape(shape).transpose(np.argsort(self.axes))

    def array(self) -> Array:
        """Return all scores, in canonical layout."""
        return self.canonical(self.scores(slice(0, self.size)))


class Elements(Ranked):
    """A weight's elements, scored by a criterion where they are read."""

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
        self._values, self._compare_as = self._flat(values), compare_as or values.dtype
        self._scored = None if criterion.elementwise else self._score_whole(values)
        self.bits = 8 * self._score_keys(slice(0, 0)).itemsize

    def _flat(self, array: Array) -> Array:
        """Return the values in memory order: a view where they lie without gaps."""
        memory = array.transpose(self.axes)
        # A flatiter cuts pieces out of any layout without copying the whole.
        return memory.reshape(-1) if memory.flags.c_contiguous else memory.flat  # type: ignore[return-value]

    def _read(self, places: Places) -> Array:
        return self._values[places].astype(self._compare_as, copy=False)

    def _context(self, places: Places) -> Context:
        def index() -> Array:
            return self.index(np.arange(self.size)[places])

        def gradient() -> Array | None:
            found = self._gradient()
            return None if found is None else self._flat(found)[places]

        return Context(self.spec.name, self._step, index, gradient)

    def _score_whole(self, values: Array) -> Array:
        context = Context(
            self.spec.name,
            self._step,
            lambda: np.arange(self.size).reshape(self.shape),
            self._gradient,
        )
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
        return self._flat(scored)

    def scores(self, places: Places) -> Array:
        if self._scored is not None:
            return self._ranked(self._scored[places])
        values = self._read(places)
        self._check(np.isfinite(values).all())
        with running(self._criterion, self._step, [self.spec.name]):
            scores = self._criterion.score(values, self._context(places))
        return self._ranked(scores)

    def _score_keys(self, places: Places) -> Array:
        if self._scored is not None:
            return score_keys(self.scores(places))
        values = self._read(places)
        with running(self._criterion, self._step, [self.spec.name]):
            keys = self._criterion.keys(values, self._context(places))
            finite = self._criterion.finite(values, keys)
        self._check(finite)
        return keys

    def _ranked(self, scores: Array) -> Array:
        if np.isnan(scores).any():
            raise fault(self._criterion, self._step, [self.spec.name], "a score is NaN")
        return scores

    def check(self) -> None:
        """Raise WeightError when a value is NaN or infinite, naming it."""
        self._check(np.isfinite(self._values[:]).all())

    def _check(self, finite: bool | np.bool_) -> None:
        if finite:
            return
        flat = self.canonical(np.arange(self.size)).reshape(-1)
        for place in flat:
            if not np.isfinite(value := self._values[place]):
                where = np.unravel_index(int(self.index(place)), self.spec.shape)
                raise WeightError(
                    f"{self.spec.name}: the value at {tuple(map(int, where))} (canonical) is "
                    f"{value}, which cannot be ranked; nothing was changed. Find where "
                    "training diverged, or mend the checkpoint, and try again."
                )


class Pooled(Ranked):
    """Groups of elements, their scores computed beforehand."""

    def __init__(self, spec: WeightSpec, scores: Array, in_force: Array | None) -> None:
        super().__init__(spec, scores.shape, memory_order(scores), in_force)
        self._scores = scores.transpose(self.axes).reshape(-1)
        self.bits = 8 * scores.itemsize

    def scores(self, places: Places) -> Array:
        return self._scores[places]

    def _score_keys(self, places: Places) -> Array:
        return score_keys(self._scores[places])
