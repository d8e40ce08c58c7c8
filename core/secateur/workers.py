"""The processes that shard a model's weights, and how numbers travel between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from secateur.layout import Array


class Workers(ABC):
    """All processes of a run, as one of them sees it.

    Every method must be called by all of them, in the same order.

    Attributes:
        rank: The number of this process, from 0.
        count: How many processes there are.

    Example:
        >>> SINGLE.rank, SINGLE.count, SINGLE.total(np.array([3]))
        (0, 1, array([3]))

    """

    rank: int
    count: int

    @abstractmethod
    def total(self, numbers: Array) -> Array:
        """Return the elementwise sum over all workers.

        Args:
            numbers: int64 or float64, of the same shape on every worker.

        Raises:
            WorkerError: Another worker has failed.

        """

    @abstractmethod
    def exchange(self, send_buffers: Sequence[Array]) -> list[Array]:
        """Return what each worker sends to this one, and send each of them one flat array.

        Args:
            send_buffers: One array per worker, of one dtype; their lengths may differ.

        Raises:
            WorkerError: Another worker has failed.

        """

    def largest(self, numbers: Array) -> Array:
        """Return the elementwise maximum over all workers.

        Args:
            numbers: Of the same shape and dtype on every worker.

        Raises:
            WorkerError: Another worker has failed.

        """
        received = self.exchange([numbers.reshape(-1)] * self.count)
        largest: Array = np.max(received, axis=0).reshape(numbers.shape)
        return largest


class SingleWorker(Workers):
    """The only process of a run: worker 0 of 1."""

    rank, count = 0, 1

    def total(self, numbers: Array) -> Array:
        return numbers

    def exchange(self, send_buffers: Sequence[Array]) -> list[Array]:
        return list(send_buffers)

    def largest(self, numbers: Array) -> Array:
        return numbers


SINGLE = SingleWorker()
"""The workers of a model that one process holds whole."""


class Route:
    """Sends one number per local element to the worker that owns it, and answers back.

    Args:
        owner: The rank of the worker that owns each local element.
        workers: The workers.

    """

    def __init__(self, owner: Array, workers: Workers) -> None:
        self._order = np.argsort(owner, kind="stable")
        self._ends = np.cumsum(np.bincount(owner, minlength=workers.count))[:-1]
        self._workers = workers
        counts = np.diff([0, *self._ends, len(owner)])
        arriving = workers.exchange(np.split(counts, workers.count))
        self._received = np.cumsum(np.concatenate(arriving))[:-1]

    def send(self, values: Array) -> Array:
        """Return what all workers sent to this one, in the order of their ranks."""
        return np.concatenate(self._workers.exchange(np.split(values[self._order], self._ends)))

    def answer(self, values: Array) -> Array:
        """Return, for every local element, the answer to what was sent for it."""
        back = np.concatenate(self._workers.exchange(np.split(values, self._received)))
        answers = np.empty_like(back)
        answers[self._order] = back
        return answers
