"""Threads that work on pieces of an array: they stay, and none works on after an error."""

from __future__ import annotations

import os
import time

import pytest

from secateur.arrays.chunks import Behind, map_threads


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch):
    monkeypatch.setenv("SECATEUR_THREADS", "2")


def test_work_may_itself_be_divided():
    assert map_threads(lambda n: sum(map_threads(abs, range(n))), range(9)) == [
        n * (n - 1) // 2 for n in range(9)
    ]


def test_when_work_fails_no_thread_works_on():
    done = []

    def work(number: int) -> None:
        if number == 0:
            raise ValueError(number)
        time.sleep(0.02)
        done.append(number)

    with pytest.raises(ValueError, match="0"):
        map_threads(work, range(100))
    finished = len(done)
    assert finished < 5
    time.sleep(0.05)
    assert len(done) == finished


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # JAX, if it is here
def test_a_process_that_was_forked_has_threads_of_its_own():
    assert map_threads(abs, [-1, -2]) == [1, 2]
    if not (child := os.fork()):
        os._exit(map_threads(abs, [-3, -4]) != [3, 4])
    assert os.waitpid(child, 0)[1] == 0


def test_what_is_done_behind_is_done_in_order_and_its_error_ends_it():
    done = []

    def task(number: int) -> None:
        if number == 7:
            raise OSError(28, "No space left on device")
        time.sleep(0.001)
        done.append(number)

    with Behind(3) as behind:
        for number in range(7):
            behind.do(lambda number=number: task(number), 1)
        behind.wait()
        assert done == list(range(7))
    with Behind(3) as behind:
        behind.do(lambda: task(1), 5)  # more than may wait
        assert done[-1] == 1
    given = []

    def give() -> None:
        with Behind(3) as behind:
            for number in range(7, 100):
                given.append(number)
                behind.do(lambda number=number: task(number), 1)

    with pytest.raises(OSError, match="No space"):
        give()
    assert len(given) < 9
