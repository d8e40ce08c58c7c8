"""A rule's components at work: errors name the one to blame, and what they return is checked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction

import numpy as np

from secateur.adapter import WeightSpec
from secateur.arrays.counts import keep_count
from secateur.components.method import Method
from secateur.components.patterns import Extent, FixedPattern
from secateur.errors import PluginError
from secateur.layout import Array
from secateur.selection.component_errors import attributed, component_error
from secateur.selection.groups import Pooled, RankedGroups
from secateur.selection.select import select
from secateur.selection.threshold import Threshold, threshold
from secateur.workers import Workers


class CheckedMethod:
    """A method at one step.  Whatever fails is a PluginError that names the component to blame."""

    def __init__(self, method: Method, step: int, names: Sequence[str]) -> None:
        self.pattern, self._criterion = method.pattern, method.criterion
        self._distribution, self._step, self._names = method.distribution, step, names
        self._share = method.share

    def require_elementwise(self) -> None:
        """Refuse a criterion that scores whole weights, since these are sharded."""
        if not self._criterion.elementwise:
            why = "scores whole weights; these are sharded"
            raise component_error(self._criterion, self._step, self._names, why)

    def extent(self, spec: WeightSpec) -> Extent:
        """Return how far the pattern's groups reach along each axis."""
        with attributed(self.pattern, self._step, self._names):
            return self.pattern.checked_extent(spec)

    def group(
        self, elements: RankedGroups, shapes: Collection[tuple[int, ...]] | None = None
    ) -> RankedGroups:
        """Return the groups of some elements; `shapes` are those that they may have, if known."""
        with attributed(self.pattern, self._step, self._names):
            groups = self.pattern.group(elements)
        if shapes is not None and groups.shape not in shapes:
            wanted = " or ".join(map(str, shapes))
            gave = f"gave groups of shape {groups.shape}; by its extent() they have {wanted}"
            raise self._pattern_error(elements.spec, gave)
        if isinstance(groups, Pooled) and np.isnan(groups.array()).any():
            raise self._pattern_error(elements.spec, "the score of a group is NaN")
        return groups

    def choose(self, elements: RankedGroups) -> Array:
        """Return the mask of some elements by a pattern that fixes the sparsity itself."""
        pattern, spec = self.pattern, elements.spec
        if not isinstance(pattern, FixedPattern):
            raise TypeError(f"pattern {pattern.kind!r} does not fix the sparsity")
        with attributed(pattern, self._step, self._names):
            mask = pattern.select(elements)
        return self._checked_mask(mask, spec)

    def expand(self, kept: Array, spec: WeightSpec) -> Array:
        """Return the mask of a weight, or of a region, from that of its groups."""
        with attributed(self.pattern, self._step, self._names):
            mask = self.pattern.expand(kept, spec)
        return self._checked_mask(mask, spec)

    def targets(self, specs: Sequence[WeightSpec], sparsity: float) -> Sequence[float | Fraction]:
        """Return the sparsity of each weight, by a distribution that does not select itself."""
        with attributed(self._distribution, self._step, self._names):
            targets = self._distribution.targets(specs, sparsity)
        if targets is None or len(targets) != len(specs):
            gave = "no targets" if targets is None else f"{len(targets)} targets"
            why = f"gave {gave} for {len(specs)} weights"
            raise component_error(self._distribution, self._step, self._names, why)
        return targets

    def keep(self, groups: RankedGroups, target: float | Fraction) -> Array:
        """Return the mask of the groups of one weight that has a target of its own."""
        with attributed(self._distribution, self._step, [groups.spec.name]):
            return select([groups], keep_count(groups.count, target))[0]

    def threshold(self, groups: RankedGroups, target: float | Fraction) -> Threshold:
        """Return what the mask that `keep` returns follows from, without making it."""
        with attributed(self._distribution, self._step, [groups.spec.name]):
            return threshold([groups], keep_count(groups.count, target))

    def select(
        self, groups: Sequence[RankedGroups], sparsity: float, workers: Workers
    ) -> Sequence[Array]:
        """Return the mask of each weight's groups."""
        wanted = sparsity if self._distribution.has_target else self._share(sparsity)
        with attributed(self._distribution, self._step, self._names):
            kept = list(self._distribution.select(groups, wanted, workers))
        if len(kept) != len(groups):
            gave = f"gave {len(kept)} masks for {len(groups)} weights"
            raise component_error(self._distribution, self._step, self._names, gave)
        for mask, group in zip(kept, groups, strict=True):
            if problem := _mask_problem(mask, group.shape):
                name = group.spec.name
                raise component_error(self._distribution, self._step, [name], problem)
        return kept

    def _checked_mask(self, mask: Array, spec: WeightSpec) -> Array:
        if problem := _mask_problem(mask, spec.shape):
            raise self._pattern_error(spec, problem)
        return mask

    def _pattern_error(self, spec: WeightSpec, why: str) -> PluginError:
        return component_error(self.pattern, self._step, [spec.name], why)


def _mask_problem(mask: object, shape: tuple[int, ...]) -> str | None:
    """Return what is wrong with a mask, which must be a bool array of a shape."""
    if not isinstance(mask, np.ndarray):
        return f"gave {type(mask).__name__} as a mask; wanted an array of bool {shape}"
    if mask.shape != shape or mask.dtype != bool:
        return f"gave a mask of {mask.dtype} {mask.shape}; wanted bool {shape}"
    return None
