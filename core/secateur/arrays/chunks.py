"""Work in pieces that fit the processor's cache, on every core that is available."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from threading import local
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
