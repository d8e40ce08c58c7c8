"""Work in pieces that fit the processor's cache, on every core that is available."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

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
    """Return ``[work(item) for item in items]``, on all cores; NumPy releases the GIL."""
    threads = min(cores(), len(items))
    if threads <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads, thread_name_prefix="secateur") as pool:
        return list(pool.map(work, items))


def map_behind(work: Callable[[T], R], items: Iterable[T], waiting: int) -> Iterator[R]:
    """Yield ``work(item)`` for each item, which one thread does while this one makes the next.

    What seldom needs the interpreter, as writing a file, is done beside NumPy at no cost.  Two
    threads of NumPy would wait for it after every few microseconds.

    Args:
        work: Called in the other thread.
        items: Taken in this thread.
        waiting: The most items that were taken and are not done.

    """
    with ThreadPoolExecutor(1, thread_name_prefix="secateur") as pool:
        begun = deque[Future[R]]()
        try:
            for item in items:
                begun.append(pool.submit(work, item))
                if len(begun) > waiting:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
