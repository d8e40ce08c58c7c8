"""Masks of sharded weights in checkpoints: packed to bits in canonical order, a chunk each.

The chunks laid end to end are what one worker alone would save, so a run may go on with
any number of workers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from secateur.adapter import Binding, Weight
from secateur.errors import StateError
from secateur.exchange import Route
from secateur.layout import Array
from secateur.state import State, mask_key
from secateur.workers import Workers


def pack(mask: Array, index: Array, size: int, workers: Workers) -> Array:
    """Return this worker's chunk of a mask, uint8.

    mask, index: what is held here of a mask of `size` elements, and its canonical indices.
    """
    route, start, stop = _route(index, size, workers)
    where = route.send(index) - start
    bits = np.zeros(stop - start, bool)
    bits[where] = route.send(mask)
    return np.packbits(bits)


def unpack(chunk: Array, index: Array, size: int, workers: Workers) -> Array:
    """Return what is held here of a mask of which each worker has its chunk."""
    route, start, _ = _route(index, size, workers)
    return route.answer(bits_at(chunk, route.send(index) - start))


def bits_at(packed: Array, index: Array) -> Array:
    """Return some bits of a packed mask, as bool."""
    found: Array = packed[index >> 3] >> (7 - (index & 7)) & 1
    return found.astype(bool)


def join(chunk: Array, workers: Workers) -> Array:
    """Return all chunks, end to end, on the first worker; nothing on the others."""
    parcels = [chunk if worker == 0 else chunk[:0] for worker in range(workers.count)]
    return np.concatenate(workers.exchange(parcels))


def _route(index: Array, size: int, workers: Workers) -> tuple[Route, int, int]:
    """Return the way to the owner of each bit, and the bits that this worker owns."""
    length = -(-size // 8)
    each = max(-(-length // workers.count), 1)
    start, stop = (min(n * each, length) * 8 for n in (workers.rank, workers.rank + 1))
    return Route(index // 8 // each, workers), start, stop


class ShardedMasks:
    """The masks of a model's shards, on their way into a state and out of one."""

    def __init__(self, binding: Binding, workers: Workers) -> None:
        self._binding, self._workers = binding, workers
        self._weights = {
            name: weight
            for weight in binding.weights
            for name in (weight.spec.name, *weight.spec.aliases)
        }

    def native(self, state: State) -> dict[str, Any]:
        """Return the state in the form of the framework's own sharded checkpoints."""
        sizes = self._sizes(state)
        return {
            key: self._binding.to_native(array, sizes.get(key))
            for key, array in self._arrays(state).items()
        }

    def whole(self, state: State) -> dict[str, Array]:
        """Return the state with whole masks on the first worker, nothing in them on others."""
        chunks = self._sizes(state)
        return {
            key: join(array, self._workers) if key in chunks else array
            for key, array in self._arrays(state).items()
        }

    def unpack(self, name: str, stored: Any, shape: tuple[int, ...]) -> Array:
        """Return what is held here of a stored mask, whole or in chunks."""
        weight = self._weights.get(name)
        if weight is None or weight.spec.shape != shape:
            raise StateError(
                f"the state has a mask of shape {shape} for {name!r}, which this model has not; "
                f"it has: {', '.join(f'{n} {w.spec.shape}' for n, w in self._weights.items())}"
            )
        chunk = self._binding.chunk(stored)
        if chunk is None:
            return bits_at(np.asarray(stored), _index(weight))
        return unpack(chunk, _index(weight), weight.spec.size, self._workers)

    def _arrays(self, state: State) -> dict[str, Array]:
        packed, shapes = {}, {}
        for name in (*state.masks, *state.waiting):
            weight = self._weights[name]
            index = _index(weight)
            mask = state.masks.get(name, np.zeros(len(index), bool))
            shapes[name] = weight.spec.shape
            packed[name] = pack(mask, index, weight.spec.size, self._workers)
        return state.with_packed(packed, shapes)

    def _sizes(self, state: State) -> dict[str, int]:
        """Return the length in bytes of each packed mask, by its key in the state."""
        return {
            mask_key(name): -(-self._weights[name].spec.size // 8)
            for name in (*state.masks, *state.waiting)
        }


def _index(weight: Weight) -> Array:
    return weight.index(np.arange(weight.read().size))
