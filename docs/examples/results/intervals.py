"""Means over seeds, and differences of pairs that share a seed, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev

from scipy.stats import t

_INSIDE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean, and how far the interval reaches to both sides; None where there is one value."""

    mean: float
    reach: float | None

    def __contains__(self, value: float) -> bool:
        return self.reach is None or abs(value - self.mean) <= self.reach


def of_mean(values: Sequence[float]) -> Interval:
    """Return the interval of the mean of some runs.

    Example:
        >>> of_mean([1.0, 2.0, 3.0])
        Interval(mean=2.0, reach=2.4841377118437524)

    """
    if len(values) < 2:
        return Interval(mean(values), None)
    return Interval(mean(values), _quantile(len(values)) * stdev(values) / sqrt(len(values)))


def of_next(values: Sequence[float]) -> Interval:
    """Return the interval in which the value of one more run lies."""
    if len(values) < 2:
        return Interval(mean(values), None)
    wider = sqrt(1 + 1 / len(values))
    return Interval(mean(values), _quantile(len(values)) * stdev(values) * wider)


def of_difference(values: Mapping[int, float], base: Mapping[int, float]) -> Interval | None:
    """Return the interval of the difference to a base, seed by seed; None without a common seed."""
    common = sorted(values.keys() & base.keys())
    return of_mean([values[seed] - base[seed] for seed in common]) if common else None


def _quantile(count: int) -> float:
    return float(t.ppf((1 + _INSIDE) / 2, count - 1))
