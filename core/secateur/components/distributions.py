"""Distributions: how one target sparsity is shared among the weights of a rule."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar

from secateur.adapter import WeightSpec
from secateur.arrays.counts import exact, keep_count
from secateur.components.component import Component
from secateur.components.criteria import Criterion
from secateur.components.patterns import Pattern
from secateur.errors import PluginError
from secateur.layout import Array
from secateur.selection.groups import RankedGroups
from secateur.selection.lamp import lamp
from secateur.selection.select import select
from secateur.workers import SINGLE, Workers


class Distribution(Component):
    """The base of all distributions, which share one target sparsity among weights.

    Most give each weight a target of its own: a subclass writes `targets`.  One that compares
    scores between weights writes `select` instead.

    Attributes:
        compares_weights: Whether scores of different weights are compared; weights of several
            dtypes are then scored in one dtype.
        has_target: Whether the schedule's sparsity says how many groups are pruned.  Where the
            values say it, `select` is given the share of the schedule's final sparsity that is
            reached, from 0 to 1, and treats each weight by itself.

    Example:
        >>> class Halved(Distribution):
        ...     kind = "halved"
        ...
        ...     def targets(self, specs, sparsity):
        ...         return [sparsity / (1 + number) for number, _ in enumerate(specs)]
        >>> Halved().targets([None, None], 0.8)
        [0.8, 0.4]

    """

    family: ClassVar[str] = "distribution"
    hook: ClassVar[str] = "secateur_distributions"
    compares_weights: ClassVar[bool] = False
    has_target: ClassVar[bool] = True

    def misfit(self, criterion: Criterion, pattern: Pattern) -> str | None:
        """Return why the distribution makes no sense with a criterion or pattern; None if it does.

        Args:
            criterion: What scores the weights.
            pattern: How they are grouped.

        """
        return None

    def targets(
        self, specs: Sequence[WeightSpec], sparsity: float
    ) -> Sequence[float | Fraction] | None:
        """Return the sparsity of each weight, or None where the scores decide.

        Args:
            specs: The weights of the rule.
            sparsity: The target for all of them together.

        """
        return None

    def select(
        self, groups: Sequence[RankedGroups], sparsity: float, workers: Workers = SINGLE
    ) -> list[Array]:
        """Return a mask of each weight's groups, True = kept.

        Args:
            groups: The groups of each weight that this process holds; `RankedGroups.count`
                counts those of other workers, too.
            sparsity: The target for all weights together.
            workers: The processes that shard the weights.

        Raises:
            PluginError: The class has neither `targets` nor `select`.

        """
        targets = self.targets([group.spec for group in groups], sparsity)
        if targets is None:
            raise PluginError(f"distribution {self.kind!r} has neither targets() nor select()")
        return [
            select([group], keep_count(group.count, target), workers)[0]
            for group, target in zip(groups, targets, strict=True)
        ]


class Uniform(Distribution):
    """Every weight gets the target.

    >>> Uniform().targets([None, None], 0.8)
    [0.8, 0.8]
    """

    kind = "uniform"

    def targets(self, specs: Sequence[WeightSpec], sparsity: float) -> Sequence[float]:
        return [sparsity] * len(specs)


class ERK(Distribution):
    """Erdos-Renyi-Kernel: keep a larger share of small layers.

    ``density = eps * sum(shape) / prod(shape)``, with ``eps`` such that the densities meet
    the target over all weights together; a density above 1 becomes 1, and the others take
    what is left.  In exact fractions.  Source: Evci et al. 2020, "Rigging the lottery",
    arXiv 1911.11134, after Mocanu et al. 2018.
    """

    kind = "erk"

    def targets(self, specs: Sequence[WeightSpec], sparsity: float) -> Sequence[Fraction]:
        sizes = [spec.size for spec in specs]
        raw = [Fraction(sum(spec.shape), max(spec.size, 1)) for spec in specs]
        density = [Fraction(0)] * len(specs)
        free = {number for number, size in enumerate(sizes) if size}
        left = sum(sizes) * (1 - exact(sparsity))
        while free:
            eps = left / sum(raw[n] * sizes[n] for n in free)
            full = {n for n in free if eps * raw[n] > 1}
            for n in full or free:
                density[n] = Fraction(1) if full else eps * raw[n]
            if not full:
                break
            left -= sum(sizes[n] for n in full)
            free -= full
        return [1 - share for share in density]


class Global(Distribution):
    """One threshold over all weights of the rule.

    Among equal scores the lower canonical index is kept; at one index, weights follow a digest
    of their content, so that the order in which a framework lists them does not matter, and
    plan order only where they are equal in every bit.
    """

    kind = "global"
    compares_weights = True

    def select(
        self, groups: Sequence[RankedGroups], sparsity: float, workers: Workers = SINGLE
    ) -> list[Array]:
        keep = keep_count(sum(group.count for group in groups), sparsity)
        return select(groups, keep, workers)


class LAMP(Global):
    """Global on the layer-adaptive magnitude score.

    ``lamp(i) = s(i)**2 / sum(s(j)**2)``, the sum over ``i`` and all groups of the same weight
    that rank above it; the best group of every weight scores 1.  Summed in float64 from the
    highest score down, ties in canonical order; equal LAMP scores rank as under `Global`.
    Source: Lee et al. 2021, "Layer-adaptive
    sparsity for the magnitude-based pruning", arXiv 2010.07611.
    """

    kind = "lamp"

    def select(
        self, groups: Sequence[RankedGroups], sparsity: float, workers: Workers = SINGLE
    ) -> list[Array]:
        keep = keep_count(sum(group.count for group in groups), sparsity)
        return select(lamp(groups, keep, workers), keep, workers)
