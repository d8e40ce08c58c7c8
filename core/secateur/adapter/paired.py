"""A binding that keeps each weight together with its mask, and zeroes weights itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from secateur.adapter.binding import Binding
from secateur.adapter.weights import Skipped, Weight
from secateur.layout import Array

W = TypeVar("W", bound=Weight)
M = TypeVar("M")


class PairedBinding(Binding, Generic[W, M]):
    """A binding that keeps pairs of weight and native mask, and zeroes weights itself.

    A subclass writes `native_mask` and `zero`.

    Attributes:
        pairs: Each weight that has a mask, with the mask in the framework's own form.

    Example:
        >>> import numpy as np
        >>> from secateur.numpy_adapter import NumpyAdapter
        >>> isinstance(NumpyAdapter().bind({"fc": np.ones((2, 2))}), PairedBinding)
        True

    """

    weights: Sequence[W]

    def __init__(self, weights: Sequence[W], skipped: Sequence[Skipped]) -> None:
        self.weights, self.skipped = weights, skipped
        self.pairs: list[tuple[W, M]] = []

    @abstractmethod
    def native_mask(self, weight: W, mask: Array) -> M:
        """Return a mask in the framework's own form.

        Args:
            weight: The weight.
            mask: Its mask, canonical.

        Raises:
            ModelError: The weight cannot take the mask.

        """

    @abstractmethod
    def zero(self, pairs: Sequence[tuple[W, M]]) -> Sequence[tuple[W, M]]:
        """Set to +0.0 what the masks prune.

        Args:
            pairs: The weights and their native masks.

        Returns:
            The pairs as they are now, such as masks on another device.

        """

    def apply(self, masks: Mapping[str, Array]) -> None:
        self.pairs = [
            (weight, self.native_mask(weight, masks[weight.spec.name]))
            for weight in self.weights
            if weight.spec.name in masks
        ]
        self.enforce()

    def enforce(self) -> None:
        self.pairs = list(self.zero(self.pairs))

    def release(self) -> None:
        self.pairs = []
