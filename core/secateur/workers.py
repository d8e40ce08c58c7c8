"""The processes that hold one model together, each a shard of its weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from secateur.layout import Array


class Workers(ABC):
    """All processes of a run, as one of them sees it.

    Every method must be called by all of them, in the same order.
    """

    rank: int
    count: int

    @abstractmethod
    def total(self, numbers: Array) -> Array:
        """Return the elementwise sum over all workers; int64 or float64, of one shape."""

    @abstractmethod
    def exchange(self, parcels: Sequence[Array]) -> list[Array]:
        """Send one flat array to each worker, and return what each has sent here.

        All arrays are of one dtype; their lengths may differ.
        """
