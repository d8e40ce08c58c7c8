"""Brackets that are likely to hold the k-th highest key, guessed from a sample of the keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np

from secateur.arrays import sizes
from secateur.layout import Array
from secateur.selection.groups import RankedGroups

MOST_SAMPLED = 1 << 20
"""The most keys that are sampled, as many as 1 G weights need; with their positions, 24 MiB."""
SIGMAS = (3, 12)
"""Half the width of the first bracket, which is wrong once in 370 times, and of the next, in
standard deviations of the sample's rank."""
LEAST_RUNS = 64
"""Of a smaller weight, single keys are sampled: runs would give it more than its share."""


class Bracket(NamedTuple):
    """The keys from `low` up to and without `high`; None is no bound."""

    low: int
    high: int | None

    @property
    def is_one_key(self) -> bool:
        """Whether all keys inside are equal."""
        return self.high == self.low + 1

    def edges(self, most: int) -> range | None:
        """Return the keys inside and the one after; None where more than `most` are inside."""
        if self.high is None or self.high - self.low > most:
            return None
        return range(self.low, self.high + 1)


def brackets(groups: Sequence[RankedGroups], keep: int, few: int = 1) -> Iterator[Bracket]:
    """Guess, by a sample, brackets around the k-th highest key; the likeliest first.

    Args:
        groups: One entry per weight, each held whole.
        keep: Which key, from 1 for the highest.
        few: A bracket of at most so many keys is not narrowed further, however many groups
            have them: the caller counts each key.

    """
    size = sum(group.size for group in groups)
    if size <= sizes.SMALL:
        yield Bracket(0, None)
        return
    sample = _sample(groups, size // min(int(size ** (2 / 3)), MOST_SAMPLED))
    rank = len(sample) * (1 - keep / size)
    for sigmas in SIGMAS:
        yield from _around(sample, rank, sigmas, few)


def _around(sample: Array, rank: float, sigmas: int, few: int) -> Iterator[Bracket]:
    """Guess from a sample, in which the k-th highest key has about this rank from below."""
    slack = sigmas * sqrt(max(rank * (1 - rank / len(sample)), 1)) + 1

    def is_tied(key: int) -> bool:
        return bool(np.count_nonzero(sample == key) > slack)

    last = len(sample) - 1
    below, middle, above = int(rank - slack), min(int(rank), last), int(rank + slack) + 1
    sample.partition([max(below, 0), middle, min(above, last)])
    low = int(sample[below]) if below > 0 else 0
    guess = int(sample[middle])
    high = int(sample[above]) if above <= last else None
    end = None if high is None else high + (not is_tied(high))
    if high is not None and high - low < few:
        likely = [Bracket(low, high + 1)]
    elif is_tied(guess):
        likely = [Bracket(guess, guess + 1), Bracket(guess + 1, end), Bracket(low, guess)]
    else:
        edges = [edge for edge in (low, high) if edge is not None and is_tied(edge)]
        likely = [Bracket(low + is_tied(low), end), *(Bracket(edge, edge + 1) for edge in edges)]
    yield from (one for one in likely if one.high is None or one.low < one.high)


def _sample(groups: Sequence[RankedGroups], stride: int) -> Array:
    """Return about one key of every `stride`."""
    chance = np.random.default_rng(stride)  # any seed gives the same masks
    drawn = []
    for group in groups:
        if group.size:
            run = group.run if group.size >= LEAST_RUNS * group.run * stride else 1
            starts = np.arange(0, group.size, stride * run)
            # a fixed step could meet a period in the weight
            starts += chance.integers(0, stride * run, len(starts))
            starts = np.minimum(starts, group.size - run)
            drawn.append(group.keys((starts[:, None] + np.arange(run)).reshape(-1)))
    return np.concatenate(drawn)
