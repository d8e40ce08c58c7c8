"""Masks of sharded weights in checkpoints: packed to bits in canonical order, a chunk each.

The chunks laid end to end are what one worker alone would save, so a run may go on with
any number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from secateur.adapter import Binding
from secateur.arrays import sizes
from secateur.arrays.chunks import pieces
from secateur.errors import StateError, listed, shown
from secateur.layout import Array
from secateur.masks.partition import MOST_ROUNDS
from secateur.run.saved.state import State, checked_memory, mask_key, memory_key
from secateur.workers import Route, Workers

Index = Callable[[Array], Array]
"""Gives the canonical indices of some positions."""


def pack(mask: Array, index: Index, size: int, workers: Workers) -> Array:
    """Return this worker's chunk of a mask, uint8.

    mask, index: what is held here of a mask of `size` elements, and its canonical indices.
    """
    each, chunk = chunk_of(size, workers)
    for positions in _rounds(len(mask), workers):
        kept = index(positions[mask[positions]])
        where = Route(kept // (8 * each), workers).send(_in_chunk(kept, each))
        np.bitwise_or.at(chunk, where >> 3, np.uint8(128) >> (where & 7).astype(np.uint8))
    return chunk


def unpack(chunk: Array, count: int, index: Index, size: int, workers: Workers) -> Array:
    """Return the `count` elements held here of a mask that is divided among the workers."""
    each, _ = chunk_of(size, workers)
    mask = np.empty(count, bool)
    for positions in _rounds(count, workers):
        where = index(positions)
        route = Route(where // (8 * each), workers)
        mask[positions] = route.answer(bits_at(chunk, route.send(_in_chunk(where, each))))
    return mask


def pack_values(values: Array, index: Index, size: int, workers: Workers) -> Array:
    """Return this worker's chunk of an array of values.

    values, index: what is held here of an array of `size` elements, and its canonical indices.
    """
    each, chunk = value_chunk_of(size, values.dtype, workers)
    for positions in _rounds(len(values), workers):
        where = index(positions)
        route = Route(where // each, workers)
        there = route.send(where % each)
        chunk[there] = route.send(values[positions])
    return chunk


def unpack_values(chunk: Array, count: int, index: Index, size: int, workers: Workers) -> Array:
    """Return the `count` elements held here of an array that is divided among the workers."""
    each, _ = value_chunk_of(size, chunk.dtype, workers)
    values = np.empty(count, chunk.dtype)
    for positions in _rounds(count, workers):
        where = index(positions)
        route = Route(where // each, workers)
        values[positions] = route.answer(chunk[route.send(where % each)])
    return values


def value_chunk_of(size: int, dtype: np.dtype[Any], workers: Workers) -> tuple[int, Array]:
    """Return the values in a chunk of an array, the last ones being shorter, and this one."""
    each = max(-(-size // workers.count), 1)
    start, stop = (min(n * each, size) for n in (workers.rank, workers.rank + 1))
    return each, np.zeros(stop - start, dtype)


def chunk_of(size: int, workers: Workers) -> tuple[int, Array]:
    """Return the bytes in a chunk of a mask, the last ones being shorter, and this one, blank."""
    return value_chunk_of(-(-size // 8), np.dtype(np.uint8), workers)


def _in_chunk(index: Array, each: int) -> Array:
    """Return which bits of their chunks these are, in no more bytes than that takes."""
    return (index % (8 * each)).astype(np.min_scalar_type(8 * each))


def _rounds(count: int, workers: Workers) -> Iterator[Array]:
    """Yield the positions of `count` elements in pieces, as many on every worker."""
    counts = np.zeros(workers.count, np.int64)
    counts[workers.rank] = count
    longest = int(workers.total(counts).max())
    for start, stop in pieces(0, longest, max(sizes.GATHERED, -(-longest // MOST_ROUNDS))):
        yield np.arange(min(start, count), min(stop, count))


def bits_at(packed: Array, index: Array) -> Array:
    """Return some bits of a packed mask, as bool."""
    found: Array = packed[index >> 3] >> (7 - (index & 7)) & 1
    return found.astype(bool)


def join(chunk: Array, workers: Workers) -> Array:
    """Return all chunks, end to end, on the first worker; nothing on the others."""
    send_buffers = [chunk if worker == 0 else chunk[:0] for worker in range(workers.count)]
    return np.concatenate(workers.exchange(send_buffers))


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
        lengths = self._lengths(state)
        return {
            key: self._binding.to_native(array, lengths.get(key))
            for key, array in self._arrays(state).items()
        }

    def whole(self, state: State) -> dict[str, Array]:
        """Return the state with whole masks on the first worker, nothing in them on others."""
        chunks = self._lengths(state)
        return {
            key: join(array, self._workers) if key in chunks else array
            for key, array in self._arrays(state).items()
        }

    def unpack(self, name: str, stored: Any, shape: tuple[int, ...]) -> Array:
        """Return what is held here of a stored mask, whole or in chunks."""
        weight = self._weights.get(name)
        if weight is None or weight.spec.shape != shape:
            raise StateError(
                f"the state has a mask of shape {shape} for {shown(name)}, which this model has "
                f"not; it has: {listed(f'{n} {w.spec.shape}' for n, w in self._weights.items())}"
            )
        count = weight.read().size
        chunk = self._binding.chunk(stored)
        if chunk is not None:
            return unpack(chunk, count, weight.index, weight.spec.size, self._workers)
        packed, mask = np.asarray(stored), np.empty(count, bool)
        for start, stop in pieces(0, count, sizes.GATHERED):
            mask[start:stop] = bits_at(packed, weight.index(np.arange(start, stop)))
        return mask

    def place(self, name: str, stored: Any, shape: tuple[int, ...]) -> Array:
        """Return what is held here of a stored array of memory, whole or in chunks."""
        weight = self._weights.get(name)
        if weight is None or weight.spec.shape != shape:
            raise StateError(
                f"the state has memory of {shown(name)} {shape}, which this model has not"
            )
        count = weight.read().size
        chunk = self._binding.chunk(stored)
        if chunk is not None:
            values = unpack_values(chunk, count, weight.index, weight.spec.size, self._workers)
        else:
            whole = checked_memory(name, np.asarray(stored), shape)
            values = np.empty(count, whole.dtype)
            for start, stop in pieces(0, count, sizes.GATHERED):
                values[start:stop] = whole[weight.index(np.arange(start, stop))]
        values.flags.writeable = False
        return values

    def _memory(self, state: State) -> dict[str, Array]:
        """Return this worker's chunks of what criteria keep."""
        found = {}
        for weight, arrays in state.memory.items():
            index, size = self._weights[weight].index, self._weights[weight].spec.size
            for name, array in arrays.items():
                found[memory_key(name, weight)] = pack_values(array, index, size, self._workers)
        return found

    def _arrays(self, state: State) -> dict[str, Array]:
        packed, shapes = {}, {}
        for name in (*state.masks, *state.waiting):
            weight = self._weights[name]
            size, mask = weight.spec.size, state.masks.get(name)
            shapes[name] = weight.spec.shape
            packed[name] = (
                chunk_of(size, self._workers)[1]
                if mask is None
                else pack(mask, weight.index, size, self._workers)
            )
        return state.with_packed(packed, shapes) | self._memory(state)

    def _lengths(self, state: State) -> dict[str, int]:
        """Return the length of each array that is laid out in chunks, by its key in the state."""
        masks = {
            mask_key(name): -(-self._weights[name].spec.size // 8)
            for name in (*state.masks, *state.waiting)
        }
        return masks | {
            memory_key(name, weight): self._weights[weight].spec.size
            for weight, arrays in state.memory.items()
            for name in arrays
        }
