"""What scores a weight's elements, and what it may know besides their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from secateur.errors import ModelError
from secateur.layout import Array
from secateur.selection.component_errors import Part


@dataclass(frozen=True)
class Context:
    """What a criterion may know beside the values.

    `name` is the weight's, `step` the number of updates finished.  `index` gives the
    canonical index of every element at hand and `gradient` the gradient, both in the shape
    of the values that are scored.
    """

    name: str
    step: int
    find_index: Callable[[], Array]
    find_gradient: Callable[[], Array | None]

    @property
    def index(self) -> Array:
        """The canonical index of each element, int64."""
        return self.find_index()

    @property
    def gradient(self) -> Array:
        """The gradient of the last update.  Raises ModelError where there is none."""
        gradient = self.find_gradient()
        if gradient is None:
            raise ModelError(
                f"{self.name}: the criterion wants a gradient, and there is none at step "
                f"{self.step}. PyTorch offers it after loss.backward() (attach with "
                "optimizer= and a schedule that begins at step 1 or later); a Keras or NumPy "
                "model does not. Use a criterion that needs the values only, like magnitude."
            )
        return gradient


class Scorer(Part, Protocol):
    """What selection asks of a criterion."""

    @property
    def elementwise(self) -> bool:
        """Whether the score of an element depends on that element alone."""
        ...

    def score(self, weight: Array, context: Context) -> Array:
        """Return a float score for each value, in the same shape."""
        ...

    def keys(self, weight: Array, context: Context) -> Array:
        """Return unsigned integers that order like the scores."""
        ...

    def finite(self, weight: Array, keys: Array) -> bool:
        """Return whether every value is finite."""
        ...
