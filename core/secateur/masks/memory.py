"""The memory of criteria: arrays of the weight's shape, updated piece by piece at every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from secateur.adapter import Weight
from secateur.arrays import sizes
from secateur.arrays.chunks import map_threads, pieces
from secateur.arrays.positions import MemoryArray, MemoryOrder, memory_axes
from secateur.components.criteria import Criterion
from secateur.components.criteria.criterion import GRADIENT
from secateur.errors import PluginError, WeightError, shown
from secateur.layout import Array
from secateur.masks.gradients import Gradients
from secateur.masks.together import checked_together
from secateur.selection.component_errors import attributed, component_error
from secateur.selection.context import Context
from secateur.workers import Workers

Memory = Mapping[str, Array]
"""The arrays that a criterion keeps of one weight, by name: canonical, or flat where sharded."""


def blank(dtypes: Mapping[str, np.dtype[Any]], weights: Sequence[Weight]) -> dict[str, Memory]:
    """Return what the memory of a rule's weights holds before the first update: zeros."""
    shapes = {weight.spec.name: weight.read().shape for weight in weights}
    return {
        weight: {name: _read_only(np.zeros(shape, dtype)) for name, dtype in dtypes.items()}
        for weight, shape in shapes.items()
    }


def updated(
    criterion: Criterion,
    weights: Sequence[Weight],
    memory: Mapping[str, Memory],
    gradients: Gradients,
    step: int,
    workers: Workers,
) -> dict[str, Memory]:
    """Return what the memory of a rule's weights holds after an update; changes nothing.

    Args:
        criterion: The criterion of the rule.
        weights: Its weights, updated and masked.
        memory: What the memory held before, by weight.
        gradients: The gradients of the update.
        step: How many updates are finished.
        workers: The processes that shard the weights.

    Raises:
        WeightError: A gradient, or a weight, holds a NaN or infinity.
        PluginError: The criterion fails, or returns what it must not; on all workers together.

    """
    new: dict[str, Memory] = {}

    def update_all() -> None:
        for weight in weights:
            name = weight.spec.name
            new[name] = _OneWeight(criterion, weight, gradients, step).updated(memory[name])

    if any(weight.sharded for weight in weights):
        checked_together(update_all, workers)
    else:
        update_all()
    return new


class _OneWeight:
    """The memory of one weight, in the order in which the weight lies in memory."""

    def __init__(
        self, criterion: Criterion, weight: Weight, gradients: Gradients, step: int
    ) -> None:
        self._criterion, self._weight, self._step = criterion, weight, step
        values = weight.read()
        self._order = MemoryOrder(values.shape, memory_axes(values))
        self._values = MemoryArray(values, self._order)
        needed = GRADIENT in criterion.needs
        self._gradient = MemoryArray(gradients.of(weight), self._order) if needed else None

    def updated(self, memory: Memory) -> Memory:
        old = {name: MemoryArray(array, self._order) for name, array in memory.items()}
        new = {name: np.empty(self._order.size, array.dtype) for name, array in memory.items()}

        def update(some: tuple[int, int]) -> None:
            piece = slice(*some)
            found = self._called({name: array[piece] for name, array in old.items()}, piece)
            for name, values in found.items():
                new[name][piece] = values

        map_threads(update, list(pieces(0, self._order.size, sizes.UPDATED)))
        return {name: _read_only(self._order.canonical(flat)) for name, flat in new.items()}

    def _called(self, state: Memory, piece: slice) -> Memory:
        values = self._values[piece]
        gradient = None if self._gradient is None else self._gradient[piece]
        context = Context(
            self._weight.spec.name,
            self._step,
            lambda: self._index(piece),
            lambda: gradient,
            lambda: state,
        )
        with attributed(self._criterion, self._step, [context.name]):
            found = self._criterion.update(state, values, gradient, context)
            return self._checked(found, state)

    def _checked(self, found: object, state: Memory) -> Memory:
        if not isinstance(found, Mapping) or set(found) != set(state):
            gave = shown(sorted(map(str, found))) if isinstance(found, Mapping) else shown(found)
            raise self._error(f"update() gave {gave}; wanted {shown(sorted(state))}, by name")
        checked = {}
        for name, old in state.items():
            given = np.asarray(found[name])
            if given.shape != old.shape:
                raise self._error(f"update() gave {name!r} {given.shape}; wanted {old.shape}")
            if not np.can_cast(given.dtype, old.dtype, "same_kind"):
                raise self._error(f"update() gave {name!r} as {given.dtype}; it is {old.dtype}")
            with np.errstate(over="ignore"):
                new = given.astype(old.dtype, copy=False)
            if not np.isfinite(new).all():
                self._require_finite_weight()  # or training diverged, and the criterion is right
                raise self._error(f"update() gave a NaN or infinity in {name!r}")
            if old.dtype.kind == "i" and not np.array_equal(new, given):
                raise self._error(
                    f"update() gave {name!r} a value that is too large for {old.dtype}"
                )
            checked[name] = new
        return checked

    def _require_finite_weight(self) -> None:
        values = self._weight.read()
        if np.isfinite(values).all():
            return
        where = tuple(map(int, np.argwhere(~np.isfinite(values))[0]))
        raise WeightError(
            f"{self._weight.spec.name}: the value at {where} is {values[where]}, so that criterion "
            f"{self._criterion.kind!r} can take in no update of it; nothing was changed. Find "
            "where training diverged, and try again."
        )

    def _index(self, piece: slice) -> Array:
        index = self._order.index(np.arange(piece.start, piece.stop))
        return self._weight.index(index) if self._weight.sharded else index

    def _error(self, why: str) -> PluginError:
        return component_error(self._criterion, self._step, [self._weight.spec.name], why)


def _read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array
