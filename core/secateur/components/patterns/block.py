"""Blocks of weights."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from secateur.adapter import WeightSpec
from secateur.components.patterns.pattern import Pattern, plane, tile_of
from secateur.layout import Array
from secateur.selection.groups import RankedGroups
from secateur.selection.norms import Pooling
from secateur.selection.tiles import Tiles, spread


class Block(Pattern):
    """Tiles of `out` x `in` weights, each spatial position and gate by itself.

    Tiles are laid from index 0 of the (out, in) plane; a tile at the edge pools over the
    weights that it has.  Of the scores ``s`` in the tile, ``score = mean(s)`` (``pooling =
    "avg"``), ``max(s)``, ``min(s)``, ``sum(|s|)`` (``"l1"``) or ``sqrt(sum(s**2))`` (``"l2"``);
    what is summed is summed in float64 in canonical order.  A sum is less for a tile at the edge,
    which has fewer weights.

    >>> Block.model_validate({"out": 4, "in": 1}).to_dict()
    {'kind': 'block', 'out': 4, 'in': 1, 'pooling': 'avg'}
    """

    kind = "block"
    out: Annotated[int, Field(ge=1)] = 1
    in_: Annotated[int, Field(ge=1, alias="in")] = 1
    pooling: Pooling = "avg"

    @property
    def adds_up(self) -> bool:
        return self.pooling in ("l1", "l2")

    def extent(self, spec: WeightSpec) -> tuple[int, ...]:
        """Return the size of a tile along each canonical axis."""
        sizes = dict(zip(plane(spec), (self.out, self.in_), strict=True))
        return tuple(sizes.get(axis, 1) for axis in range(len(spec.shape)))

    def group(self, elements: RankedGroups) -> RankedGroups:
        return Tiles(elements, self._tile(elements.spec), self.pooling)

    def expand(self, kept: Array, spec: WeightSpec) -> Array:
        return spread(kept, self._tile(spec), spec.shape)

    def _tile(self, spec: WeightSpec) -> tuple[int, ...]:
        """Return the size of a tile, never more than the weight: a mask is built of whole ones."""
        return tile_of(self.extent(spec), spec.shape)
