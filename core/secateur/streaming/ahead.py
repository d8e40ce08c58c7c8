"""Pieces that a thread makes while another one writes those before them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from secateur.errors import ModelError
from secateur.layout import Array

MOST_WAITING = 2
"""How many pieces wait to be written at most."""
LONGEST_WAIT = 1.0
"""How many seconds to wait at the end for a piece that nobody wants: of a large tensor it takes
long to find the mask, and Ctrl-C is not to wait for it."""


class Ahead:
    """Makes the pieces of tensors in a thread, a few ahead of those that are taken.

    Args:
        names: The tensors, in the order in which they are taken.
        pieces: Makes the pieces of one.

    """

    def __init__(self, names: Sequence[str], pieces: Callable[[str], Iterator[Array]]) -> None:
        self._names, self._pieces = names, pieces
        self._queue: queue.Queue[tuple[str, Array | None] | BaseException] = queue.Queue(
            MOST_WAITING
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._make, name="secateur-ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()  # the thread ends after the piece that it makes
        self._thread.join(LONGEST_WAIT)

    def take(self, name: str) -> Iterator[Array]:
        """Yield the pieces of the next tensor.

        Args:
            name: Its name.

        Raises:
            ModelError: It is not the next one.

        """
        while True:
            item = self._queue.get()
            if isinstance(item, BaseException):
                raise item
            made, piece = item
            if made != name:
                raise ModelError(f"the tensor {made:.80} is to be written next, not {name:.80}")
            if piece is None:
                return
            yield piece

    def _make(self) -> None:
        try:
            for name in self._names:
                for piece in self._pieces(name):
                    if not self._put((name, piece)):
                        return
                self._put((name, None))
        except BaseException as error:  # raised again where the pieces are taken
            self._put(error)

    def _put(self, item: tuple[str, Array | None] | BaseException) -> bool:
        while not self._ended.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False
