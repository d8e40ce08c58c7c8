"""How the groups of one weight are brought together, and how their mask leads back.

A weight that one process holds whole is grouped where it is.  Of a sharded one, elements
compete where they are, and larger groups are brought together in rounds, or by `channels`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from secateur.layout import Array
from secateur.masks.checked import CheckedMethod
from secateur.masks.exchange import RoundRegion, Rounds
from secateur.selection.elements import Elements
from secateur.selection.groups import Pooled, RankedGroups
from secateur.workers import Workers


class Grouping(ABC):
    """The groups of one weight."""

    @abstractmethod
    def ranked(self) -> RankedGroups:
        """Return the groups that this process decides, ranked."""

    @abstractmethod
    def expand(self, kept: Array) -> Array:
        """Return the mask of the elements held here, from that of the groups decided here."""


class Whole(Grouping):
    """The groups of a weight that this process holds whole."""

    def __init__(self, method: CheckedMethod, elements: Elements) -> None:
        self._method, self._elements = method, elements

    def ranked(self) -> RankedGroups:
        return self._method.group(self._elements)

    def expand(self, kept: Array) -> Array:
        return self._method.expand(kept, self._elements.spec)

    def choose(self) -> Array:
        """Return the mask of a pattern that fixes the sparsity itself."""
        return self._method.choose(self._elements)


class SingleElements(Grouping):
    """The elements of a sharded weight, each a group by itself: none has to move."""

    def __init__(self, elements: Elements) -> None:
        self._elements = elements

    def ranked(self) -> RankedGroups:
        return self._elements

    def expand(self, kept: Array) -> Array:
        return kept


class InRounds(Grouping):
    """The groups of a sharded weight, brought together in rounds."""

    def __init__(self, method: CheckedMethod, elements: Elements, workers: Workers) -> None:
        self._method, self._elements = method, elements
        self._rounds = Rounds.across(elements, method.extent(elements.spec), workers)

    def ranked(self) -> RankedGroups:
        rounds, previous = self._rounds, list[Array]()

        def scores() -> Iterator[Array]:
            for region in rounds.regions():
                groups = self._grouped(region)
                if groups.previous is not None:
                    previous.append(groups.previous)
                yield groups.array()

        joined = rounds.join(scores())
        shape = joined.shape
        groups = Pooled(self._elements.spec, joined, rounds.join(previous) if previous else None)
        count = rounds.group_count(len(shape))
        return groups.as_part_of(count, lambda index: rounds.group_index(index, shape))

    def _grouped(self, region: RoundRegion) -> RankedGroups:
        tiles = self._rounds.tiles(region.number)
        shapes = dict.fromkeys([tiles, (tiles[self._rounds.grid.first],)])
        return self._method.group(region.scores(self._elements), shapes)

    def expand(self, kept: Array) -> Array:
        mask = np.empty(self._elements.size, bool)
        for region, part in zip(self._rounds.regions(), self._rounds.split(kept), strict=True):
            mask[region.positions] = region.scatter(self._method.expand(part, region.spec))
        return mask

    def choose(self) -> Array:
        """Return the mask of a pattern that fixes the sparsity itself."""
        mask = np.empty(self._elements.size, bool)
        for region in self._rounds.regions():
            chosen = self._method.choose(region.scores(self._elements))
            mask[region.positions] = region.scatter(chosen)
        return mask
