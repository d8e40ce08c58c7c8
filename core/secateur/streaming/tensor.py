"""One tensor of a checkpoint, pruned on its way into the copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from secateur.adapter import ReadElements
from secateur.arrays import sizes
from secateur.arrays.chunks import pieces
from secateur.arrays.memory import aligned
from secateur.checkpoints.raw import ElementsInFile, PlacedPieces, Put, comparable
from secateur.layout import Array
from secateur.masks.one_by_one import Parts
from secateur.streaming.weights import StoredWeight
from secateur.streaming.zeroing import Count, set_zeros


class Memory:
    """Memory for pieces, used again: the system takes as long to give new pages as to fill them."""

    def __init__(self) -> None:
        self._free: list[Array] = []

    def take(self, size: int) -> Array:
        """Return some bytes, which nobody else has until they are given back."""
        memory = self._free.pop() if self._free else np.empty(0, np.uint8)
        return memory if len(memory) >= size else aligned(size, np.dtype(np.uint8))

    def give_back(self, memory: Array) -> None:
        """Give back what was taken."""
        self._free.append(memory)


class Piece(NamedTuple):
    """Some elements of a tensor: of one of its weights, or of none.

    Attributes:
        start: The first of them.
        stop: The one after the last.
        weight: The weight.
        parts: Its mask.

    """

    start: int
    stop: int
    weight: StoredWeight | None = None
    parts: Parts | None = None


@dataclass(frozen=True)
class PrunedTensor(PlacedPieces):
    """The new values of a tensor: an iterator over its pieces, or what places them.

    Attributes:
        size: The elements of the tensor.
        weights: Those of its weights that are pruned.
        open: Returns what reads it.
        parts: Returns the mask of a weight of a name.
        counts: What was written of each weight; added to.
        memory: For the pieces.
        advance: Called with the number of bytes of each piece, once it was written.
        after: Called when all was written, of the last tensor.

    """

    size: int
    weights: Sequence[StoredWeight]
    open: Callable[[], ReadElements]
    parts: Callable[[str, ReadElements], Parts]
    counts: Mapping[str, Count]
    memory: Memory
    advance: Callable[[int], object]
    after: Callable[[], object] | None

    def __call__(self) -> Iterator[Array]:
        read = self.open()
        for piece in self._pieces(read):
            values = self._own(read(piece.start, piece.stop))
            self._prune(piece, values)
            yield values
            self.advance(values.nbytes)
        if self.after:
            self.after()

    def place(self, put: Put, wait: Callable[[], object]) -> None:
        read = self.open()
        for piece in self._pieces(read):
            size = (piece.stop - piece.start) * self.weights[0].itemsize
            memory = self.memory.take(size)
            if isinstance(read, ElementsInFile):
                values = read.into(piece.start, memory[:size].view(self.weights[0].stored_dtype))
            else:
                values = self._own(read(piece.start, piece.stop))
            self._prune(piece, values)
            put(piece.start, values, partial(self._written, memory, size))
        if self.after:
            wait()
            self.after()

    def _written(self, memory: Array, size: int) -> None:
        self.memory.give_back(memory)
        self.advance(size)

    def _pieces(self, read: ReadElements) -> Iterator[Piece]:
        """Yield the pieces of the tensor, in order; their masks are found at the first."""
        length, done = sizes.PIECE // self.weights[0].itemsize, 0
        for weight in sorted(self.weights, key=lambda weight: weight.start):
            yield from (Piece(*ends) for ends in pieces(done, weight.start, length))
            parts = self.parts(weight.spec.name, read)
            own = max(1, length // parts.together) * parts.together
            for start, stop in pieces(weight.start, weight.stop, own):
                yield Piece(start, stop, weight, parts)
            done = weight.stop
        yield from (Piece(*ends) for ends in pieces(done, self.size, length))

    def _own(self, values: Array) -> Array:
        return values if values.flags.writeable else values.copy()

    def _prune(self, piece: Piece, values: Array) -> None:
        if piece.weight is not None and piece.parts is not None:
            mask = piece.parts.make(piece.start - piece.weight.start, comparable(values))
            set_zeros(values, mask, self.counts[piece.weight.spec.name])
