"""So many weights of each few that are neighbours."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Self

from pydantic import Field, model_validator

from secateur.adapter import WeightSpec
from secateur.components.patterns.pattern import FixedPattern, plane
from secateur.layout import Array
from secateur.selection.groups import RankedGroups
from secateur.selection.n_of_m import keep_in_sets


class NM(FixedPattern):
    """Keep `keep` of every `of` consecutive weights along ``in``.

    Sets begin at index 0; a short tail of ``r`` weights keeps ``min(keep, r)``.  Of equal
    weights in a set the lower index stays.  Its sparsity, ``1 - keep / of``, is fixed, so it
    takes a constant, one_shot or keep_zeros schedule only, and no distribution.  Source: Mishra
    et al. 2021, "Accelerating sparse deep neural networks", arXiv 2104.08378.

    >>> NM(keep=2, of=4).fixed_sparsity
    Fraction(1, 2)
    """

    kind = "n_m"
    keep: Annotated[int, Field(ge=1)]
    of: Annotated[int, Field(ge=2)]

    @model_validator(mode="after")
    def _keeps_fewer_than_all(self) -> Self:
        if self.keep >= self.of:
            raise ValueError(f"keep = {self.keep} must be below of = {self.of}")
        return self

    @property
    def fixed_sparsity(self) -> Fraction:
        return 1 - Fraction(self.keep, self.of)

    def extent(self, spec: WeightSpec) -> tuple[int, ...]:
        """Return the size of a set along ``in``."""
        inputs = plane(spec)[1]
        return tuple(self.of if axis == inputs else 1 for axis in range(len(spec.shape)))

    def kept_elements(self, spec: WeightSpec, sparsity: float) -> int:
        length = spec.shape[plane(spec)[1]]
        if not spec.size or not sparsity:
            return spec.size
        in_a_row = length // self.of * self.keep + min(self.keep, length % self.of)
        return spec.size // length * in_a_row

    def select(self, elements: RankedGroups) -> Array:
        return keep_in_sets(elements, plane(elements.spec)[1], self.keep, self.of)
