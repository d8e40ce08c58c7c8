"""Dynamic sparse training: at each update some weights go, and as many others come."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from secateur.components.criteria.criterion import Criterion
from secateur.components.criteria.magnitude import Magnitude
from secateur.components.criteria.random import Random
from secateur.layout import Array
from secateur.selection.context import Context

Fraction = Annotated[float, Field(ge=0, le=1)]
"""The type of a field that holds a share of the weights that are kept."""


class Regrowth(Criterion):
    """The base of criteria that prune some weights and regrow as many others.

    At each update, of the ``n`` groups that the target keeps, ``k = round(fraction * n)`` change:
    the ``n - k`` that `drop` scores highest among those kept so far stay, and the ``k`` that
    `grow` scores highest among all others come, which may be some that were just dropped. A group
    that comes back starts from +0.0; one that was dropped and chosen again keeps its values. The
    first masks are by chance or by magnitude, and what is zero already is the last that they keep.

    A subclass writes `grow` and `fraction_at`. Its masks are exact as any others: where each weight
    has a target, ``n`` and ``k`` are counted in it; under `global` and its like, in all together.
    What `first`, `drop` and `grow` look at, gradients or a memory, the subclass must have in its
    own `needs` and `memory`, which it updates.

    Attributes:
        initial: What the first masks are by: ``random`` or ``magnitude``.
        seed: Another seed gives other first masks, and other weights where chance makes them grow.
        has_end: Whether `fraction_at` asks for the last step of the schedule, which must have one.

    Example:
        >>> class Slow(Regrowth):
        ...     kind = "slow"
        ...
        ...     @property
        ...     def grow(self):
        ...         return Random(seed=self.seed)  # secateur.Random
        ...
        ...     def fraction_at(self, step, end):
        ...         return 0.01
        >>> Slow().drop.kind, Slow().first.kind
        ('magnitude', 'random')

    """

    regrows = True
    elementwise = True
    has_end: ClassVar[bool] = False
    initial: Literal["random", "magnitude"] = "random"
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def first(self) -> Criterion:
        """What scores weights for the first masks."""
        return Magnitude() if self.initial == "magnitude" else Random(seed=self.seed)

    @property
    def drop(self) -> Criterion:
        """What scores weights that are kept: the lowest go."""
        return Magnitude()

    @property
    @abstractmethod
    def grow(self) -> Criterion:
        """What scores all others: the highest come."""

    @abstractmethod
    def fraction_at(self, step: int, end: int) -> float:
        """Return which share of the weights that are kept changes at a step, from 0 to 1.

        Args:
            step: The number of optimizer updates finished.
            end: The last step of the schedule; 0 where it has none.

        """

    def score(self, weight: Array, context: Context) -> Array:
        """Return the scores of the first masks, `first`.

        Args:
            weight: The values, as in `Criterion.score`.
            context: What is known besides the values.

        """
        return self.first.score(weight, context)
