"""The distribution that prunes what lies below a threshold, however much that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from secateur.arrays import sizes
from secateur.arrays.chunks import map_threads, pieces
from secateur.arrays.counts import exact
from secateur.components.criteria import Criterion, Magnitude, Regrowth
from secateur.components.distributions import Distribution
from secateur.components.patterns import FixedPattern, Pattern
from secateur.layout import Array
from secateur.selection.groups import RankedGroups
from secateur.workers import SINGLE, Workers

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Threshold(Distribution):
    """Prune what scores below a threshold: how many that are, the weights say.

    ``threshold(t) = value * s(t) / final`` or, for each weight by itself,
    ``threshold(t) = deviations * std(w) * s(t) / final``; ``s(t)`` is what the schedule asks for
    at step ``t``, and ``final`` what it asks for in the end: a ramp raises the threshold, and
    at its end, or with a constant or one_shot schedule, the threshold is the one that is
    written, whatever the schedule's ``final_sparsity``.

    A group is pruned if its score is less than the threshold, rounded to the dtype of the scores;
    what was pruned stays pruned, unless the schedule asks for 0 again.  ``std(w)`` is the standard
    deviation of all values of the weight about their mean, zeros included, at the time when masks
    are computed; it is summed exactly, so that no order and no sharding changes it.

    Source: Han et al. 2015, "Learning both weights and connections for efficient neural
    networks", arXiv 1506.02626.

    Attributes:
        value: The threshold, as a score; for the magnitude of single weights, a magnitude.
        deviations: The threshold in standard deviations of the weight; instead of `value`.

    Example:
        >>> from secateur.adapter import WeightSpec
        >>> from secateur.selection.groups import Pooled
        >>> spec = WeightSpec("fc", "dense", "kernel", (4, 1), "float64", "fc")
        >>> groups = Pooled(spec, np.array([0.1, 0.3, 0.2, 0.4]), None)
        >>> Threshold(value=0.2).select([groups], 1.0)[0].tolist()
        [False, True, True, True]
        >>> Threshold(value=0.2).select([groups], 0.5)[0].tolist()
        [True, True, True, True]

    """

    kind = "threshold"
    has_target: ClassVar[bool] = False
    value: Positive | None = None
    deviations: Positive | None = None

    @model_validator(mode="after")
    def _is_one_threshold(self) -> Self:
        if (self.value is None) == (self.deviations is None):
            which = "both value and deviations" if self.value else "neither value nor deviations"
            raise ValueError(
                f"{which}: wanted exactly one, such as value = 0.01 (an absolute threshold) or "
                "deviations = 0.7 (in standard deviations of each weight)"
            )
        return self

    def misfit(self, criterion: Criterion, pattern: Pattern) -> str | None:
        if isinstance(pattern, FixedPattern):
            return (
                f"pattern {pattern.kind!r} keeps the same number in every set, however large the "
                "weights are, so that a threshold decides nothing; give the rule distribution = "
                '"uniform", or another pattern'
            )
        if isinstance(criterion, Regrowth):
            return (
                f"criterion {criterion.kind!r} moves weights and keeps their number, which a "
                'threshold does not say; take "uniform" or "erk"'
            )
        if self.deviations is None:
            return None
        if not isinstance(criterion, Magnitude):
            return (
                f"deviations count standard deviations of the weight, and criterion "
                f"{criterion.kind!r} does not score by its magnitude; give value, in the scores of "
                'the criterion, or criterion = "magnitude"'
            )
        if pattern.adds_up:
            return (
                f"pattern {pattern.kind!r} scores a group by a sum over its weights, which grows "
                "with their number, so that no number of standard deviations of single weights is "
                "a threshold for it; give value, or another pattern or pooling"
            )
        return None

    def select(
        self, groups: Sequence[RankedGroups], sparsity: float, workers: Workers = SINGLE
    ) -> list[Array]:
        """Return a mask of each weight's groups, True = kept.

        Args:
            groups: The groups of each weight.
            sparsity: How much of the threshold is reached, ``s(t) / final``.
            workers: The processes that shard the weights.

        """
        return [_at_least(each, self._threshold(each, sparsity, workers)) for each in groups]

    def _threshold(self, groups: RankedGroups, share: float, workers: Workers) -> float | None:
        """Return the threshold of a weight; None where nothing is to be pruned."""
        if not share:
            return None
        if self.deviations is None:
            return _as_float(exact(self.value or 0) * exact(share))
        deviation = groups.deviation(workers)
        if math.isinf(deviation):
            return deviation
        return _as_float(exact(self.deviations) * Fraction(deviation) * exact(share))


def _as_float(number: Fraction) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _at_least(groups: RankedGroups, threshold: float | None) -> Array:
    """Return the mask of the groups that reach a threshold, and were not pruned before."""
    mask = np.empty(groups.size, bool)

    def compare(some: tuple[int, int]) -> None:
        scores, kept = groups.scores(slice(*some)), mask[slice(*some)]
        if threshold is None:  # the scores were read all the same: they refuse a NaN
            kept[:] = True
            return
        with np.errstate(over="ignore", under="ignore"):
            limit = np.asarray(threshold).astype(scores.dtype)
        if threshold and not limit:  # it lies between zero and the smallest number of the dtype
            np.greater(scores, 0, out=kept)
        else:
            np.greater_equal(scores, limit, out=kept)
        if groups.previous is not None:
            kept &= groups.is_alive(np.arange(*some))

    map_threads(compare, list(pieces(0, groups.size, sizes.CHUNK)))
    return groups.canonical(mask)
