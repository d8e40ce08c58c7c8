"""What a criterion may know besides values, and what selection asks of a criterion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        find_memory: Finds `memory`; a criterion reads `memory` itself.

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
    find_memory: Callable[[], Mapping[str, Array]] = dict

    @property
    def index(self) -> Array:
        """The canonical index of each value, int64, in the shape of the values."""
        return self.find_index()

    @property
    def gradient(self) -> Array:
        """The gradient of the last update, in the shape of the values.

        It is the one that the optimizer's rule was given: summed over processes, averaged over
        accumulated batches, with loss scaling undone, and clipped.

        Raises:
            ModelError: There is none.

        """
        gradient = self.find_gradient()
        if gradient is None:
            raise ModelError(
                f"{self.name}: the criterion needs a gradient, and there is none at step "
                f'{self.step}. Write needs = {{"gradient"}} in its class, so that gradients are '
                "kept for it, or use a criterion that needs the values only, like magnitude."
            )
        return gradient

    @property
    def memory(self) -> Mapping[str, Array]:
        """What each array of the criterion's memory holds for the values, in their shape."""
        return self.find_memory()


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
