"""Whole channels."""

from __future__ import annotations

from math import sqrt
from typing import Any, Literal, Self

import numpy as np
from pydantic import model_validator

from secateur.adapter import WeightSpec
from secateur.components.patterns.pattern import Pattern, plane
from secateur.layout import Array
from secateur.selection.groups import Pooled, RankedGroups
from secateur.selection.norms import channel_norms


class Channel(Pattern):
    """Whole slices along one axis of the (out, in) plane: filters, rows or columns.

    Of the scores ``s`` in the slice, ``score = sqrt(sum(s**2))`` (``pooling = "l2"``: for magnitude
    the L2 norm), ``sum(|s|)`` (``"l1"``), ``max(s)`` or ``min(s)``; what is summed is summed in
    float64 in canonical order.  ``normalize = true`` divides a norm by that of as many ones,
    ``sqrt(n)`` or ``n`` for ``n`` weights in a slice, so that channels of weights of several sizes
    compare: under `Global`, LAMP does so anyway.  Source: Li et al. 2017, "Pruning filters for
    efficient convnets", arXiv 1608.08710, with the L1 norm.

    >>> Channel(pooling="l1", normalize=True).to_dict()
    {'kind': 'channel', 'axis': 'out', 'pooling': 'l1', 'normalize': True}
    """

    kind = "channel"
    axis: Literal["out", "in"] = "out"
    pooling: Literal["l2", "l1", "max", "min"] = "l2"
    normalize: bool = False

    @model_validator(mode="after")
    def _has_a_norm_to_normalize(self) -> Self:
        if self.normalize and self.pooling not in ("l1", "l2"):
            raise ValueError(
                f'normalize = true divides a norm by its size, and pooling = "{self.pooling}" does '
                'not grow with it; leave normalize out, or take pooling = "l1" or "l2"'
            )
        return self

    @property
    def adds_up(self) -> bool:
        return self.pooling in ("l1", "l2") and not self.normalize

    def normalized(self) -> dict[str, Any]:
        """Return the table of the fingerprint, in which later keys count where they are set."""
        table, later = self.to_dict(), {"pooling": "l2", "normalize": False}
        return {key: each for key, each in table.items() if later.get(key, table) != each}

    def divisor(self, spec: WeightSpec) -> float:
        """Return what the score of each channel of a weight is divided by."""
        length = spec.size // max(spec.shape[self.axis_of(spec)], 1)
        if not self.normalize or not length:
            return 1.0
        return float(length) if self.pooling == "l1" else sqrt(length)

    def extent(self, spec: WeightSpec) -> tuple[int | None, ...]:
        """Return 1 along the axis of the channels, and None along the others."""
        axis = self.axis_of(spec)
        return tuple(1 if other == axis else None for other in range(len(spec.shape)))

    def axis_of(self, spec: WeightSpec) -> int:
        """Return the canonical axis along which the channels lie."""
        return plane(spec)[self.axis == "in"]

    def group(self, elements: RankedGroups) -> RankedGroups:
        axis = self.axis_of(elements.spec)
        others = tuple(other for other in range(len(elements.shape)) if other != axis)
        previous = elements.previous
        if previous is not None:
            previous = np.asarray(previous.any(axis=others))
        found = channel_norms(elements, axis, self.pooling) / self.divisor(elements.spec)
        return Pooled(elements.spec, found, previous)

    def expand(self, kept: Array, spec: WeightSpec) -> Array:
        shape = [1] * len(spec.shape)
        shape[self.axis_of(spec)] = -1
        return np.broadcast_to(kept.reshape(shape), spec.shape).copy()
