"""What a thread makes while another one uses what was made before it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Self, TypeVar

from secateur.errors import ModelError

T = TypeVar("T")

LONGEST_WAIT = 1.0
"""How many seconds to wait at the end for what nobody wants: the mask of a large tensor takes
long to find, and Ctrl-C is not to wait for it."""
_LOOK_UP = 0.1
"""How many seconds a thread waits before it looks whether it is still wanted."""


class Ahead(Generic[T]):
    """Makes the items of some names in a thread, a few ahead of those that are taken.

    Args:
        names: The names, in the order in which they are taken.
        make: Makes the items of one.
        waiting: How many items wait to be taken at most.
        source: What `make` takes from, which ends with this.

    """

    def __init__(
        self,
        names: Sequence[str],
        make: Callable[[str], Iterator[T]],
        waiting: int,
        source: Ahead[Any] | None = None,
    ) -> None:
        self._names, self._make, self._source = names, make, source
        self._items: queue.Queue[tuple[str, T] | str | BaseException] = queue.Queue(waiting)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="secateur-ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._thread.join(LONGEST_WAIT)

    def end(self) -> None:
        """Let the thread end after the item that it makes."""
        self._ended.set()
        if self._source is not None:
            self._source.end()

    def take(self, name: str) -> Iterator[T]:
        """Yield the items of the next name.

        Args:
            name: The name.

        Raises:
            ModelError: It is not the next one.

        """
        while not self._ended.is_set():
            try:
                item = self._items.get(timeout=_LOOK_UP)
            except queue.Empty:
                continue
            if isinstance(item, BaseException):
                raise item
            made = item if isinstance(item, str) else item[0]
            if made != name:
                raise ModelError(f"the tensor {made:.80} is to be written next, not {name:.80}")
            if isinstance(item, str):
                return
            yield item[1]

    def _work(self) -> None:
        try:
            for name in self._names:
                for item in self._make(name):
                    if not self._put((name, item)):
                        return
                self._put(name)  # which says that these were all
        except BaseException as error:  # raised again where the items are taken
            self._put(error)

    def _put(self, item: tuple[str, T] | str | BaseException) -> bool:
        while not self._ended.is_set():
            try:
                self._items.put(item, timeout=_LOOK_UP)
            except queue.Full:
                continue
            return True
        return False
