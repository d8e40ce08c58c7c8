"""Single weights, wherever they are."""

from __future__ import annotations

from secateur.adapter import WeightSpec
from secateur.components.patterns.pattern import Pattern
from secateur.layout import Array
from secateur.selection.groups import RankedGroups


class Unstructured(Pattern):
    """Each weight by itself."""

    kind = "unstructured"

    def extent(self, spec: WeightSpec) -> tuple[int, ...]:
        return (1,) * len(spec.shape)

    def group(self, elements: RankedGroups) -> RankedGroups:
        return elements

    def expand(self, kept: Array, spec: WeightSpec) -> Array:
        return kept
