"""What a criterion may know besides values, and what selection asks of a criterion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from secateur.errors import ModelError
from secateur.layout import Array
from secateur.selection.component_errors import Part


@dataclass(frozen=True)
class Context:
    """What a criterion may know besides the values that it scores.

    Attributes:
        name: The weight's name.
        step: The number of optimizer updates finished.
        find_index: Finds `index`; a criterion reads `index` itself.
        find_gradient: Finds `gradient`, or None; a criterion reads `gradient` itself.

    Example:
        >>> import numpy
        >>> context = Context("fc:kernel", 3, lambda: numpy.arange(2), lambda: None)
        >>> context.name, context.step, context.index.tolist()
        ('fc:kernel', 3, [0, 1])

    """

    name: str
    step: int
    find_index: Callable[[], Array]
    find_gradient: Callable[[], Array | None]

    @property
    def index(self) -> Array:
        """The canonical index of each value, int64, in the shape of the values."""
        return self.find_index()

    @property
    def gradient(self) -> Array:
        """The gradient of the last update, in the shape of the values.

        Raises:
            ModelError: There is none.

        """
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
