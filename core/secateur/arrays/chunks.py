"""Work in pieces that fit the processor's cache, on every core that is available."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from threading import local
from typing import Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")

MOST_THREADS = 8
"""More threads would wait for memory, and each needs some MiB of it."""


def cores() -> int:
    """Return how many threads to use: the available cores, up to `MOST_THREADS`.

    The environment variable ``SECATEUR_THREADS`` sets another number.
    """
    if wanted := os.environ.get("SECATEUR_THREADS"):
        return max(1, int(wanted))
    have = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(have or 1, MOST_THREADS)


def pieces(start: int, stop: int, length: int) -> Iterator[tuple[int, int]]:
    """Split a range into pieces of at most `length`.

    >>> list(pieces(0, 10, 4))
    [(0, 4), (4, 8), (8, 10)]
    """
    for begin in range(start, stop, length):
        yield begin, min(begin + length, stop)


def map_threads(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return ``[work(item) for item in items]``, on all cores; NumPy releases the GIL.

    Whatever is raised, no thread works on any more when this returns.
    """
    threads = min(cores(), len(items))
    if threads <= 1 or hasattr(_here, "is_worker"):
        return [work(item) for item in items]
    pool = _pool(os.getpid(), cores())
    begun = [pool.submit(work, item) for item in items]
    try:
        return [future.result() for future in begun]
    finally:
        for future in begun:
            future.cancel()
        wait(begun)


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Return threads that stay: to start them, and give them memory, takes as long as a mask.

    A process that was forked has none of its parent's.
    """
    return ThreadPoolExecutor(threads, f"secateur-{process}", _mark)


_here = local()


def _mark() -> None:
    """Mark the present thread as one of the pool, which must not wait for another of it."""
    _here.is_worker = True


class Behind:
    """One thread that does in order what it is given, while the caller goes on.

    What seldom needs the interpreter, as writing a file, is done beside NumPy at no cost.  Two
    threads of NumPy would wait for it after every few microseconds.

    Args:
        most: The most that the tasks which wait may be together, as their sizes say.

    """

    def __init__(self, most: int) -> None:
        self._pool = ThreadPoolExecutor(1, "secateur-behind")
        self._begun, self._most = deque[tuple[Future[object], int]](), most
        self._together = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for all tasks; after an error only for the one that is being done."""
        try:
            if kind is None:
                self.wait()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def do(self, task: Callable[[], object], size: int) -> None:
        """Take a task; wait while all that were taken are too much.

        Args:
            task: The task.
            size: How much it is.

        Raises:
            Exception: What an earlier task raised.

        """
        self._begun.append((self._pool.submit(task), size))
        self._together += size
        while self._together > self._most:
            self._wait_for_one()

    def wait(self) -> None:
        """Wait until all tasks are done.

        Raises:
            Exception: What one of them raised.

        """
        while self._begun:
            self._wait_for_one()

    def _wait_for_one(self) -> None:
        task, size = self._begun.popleft()
        task.result()
        self._together -= size
