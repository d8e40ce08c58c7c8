"""The base of criteria: a score per weight, higher = keep.

An *elementwise* criterion scores each value by itself, so that it is called piece by piece
and all scores are never in memory at once; any other criterion is called once with the whole
array in canonical layout.  A criterion may need the gradient of each update, and may keep
arrays of the weight's shape that it updates at every step.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from secateur.arrays.sortable_bits import score_keys
from secateur.components.component import Component
from secateur.errors import nearest, shown
from secateur.layout import Array
from secateur.selection.context import Context
from secateur.selection.groups import scores_problem

GRADIENT = "gradient"
"""What `Criterion.needs` may hold."""
MEMORY_DTYPES = ("float16", "float32", "float64", "int32", "int64")
"""What arrays of `Criterion.memory` may be of."""


class Criterion(Component):
    """The base of all criteria; a subclass writes `score`.  Its fields are its keys in a policy.

    Attributes:
        elementwise: Whether the score of a value depends on that value alone.
        regrows: Whether weights that are pruned already may come back.
        needs: What it needs besides values: ``{"gradient"}``, or nothing.  It is had only for
            the weights that the criterion scores: with `memory` at every step, else when masks
            are recomputed.
        memory: The arrays of the weight's shape that it keeps, by name, with their dtype, such
            as ``{"mean": "float32"}``.  They begin as zeros and are part of the run's state.

    Example:
        >>> class Centered(Criterion):
        ...     kind = "centered"
        ...
        ...     def score(self, weight, context):
        ...         return np.abs(weight - weight.mean(dtype=np.float64))
        >>> Centered().score(np.array([1.0, 2.0, 6.0]), None).tolist()
        [2.0, 1.0, 3.0]

    """

    family: ClassVar[str] = "criterion"
    hook: ClassVar[str] = "secateur_criteria"
    elementwise: ClassVar[bool] = False
    regrows: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()
    memory: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @classmethod
    def __pydantic_init_subclass__(cls, **settings: Any) -> None:
        super().__pydantic_init_subclass__(**settings)
        if isinstance(cls.needs, str) or not set(cls.needs) <= {GRADIENT}:
            raise TypeError(
                f'{cls.__name__}.needs is {shown(cls.needs)}; wanted needs = {{"{GRADIENT}"}}, or '
                "nothing"
            )
        cls.needs = frozenset(cls.needs)

    @abstractmethod
    def score(self, weight: Array, context: Context) -> Array:
        """Return a float score for each value, in the same shape; a score of NaN is an error.

        Args:
            weight: The values: the whole weight in canonical layout or, with `elementwise`, a
                piece of it in any shape.
            context: The weight's name, the step, and for each value its index, its gradient and
                what the memory holds for it.

        """

    def update(
        self, state: Mapping[str, Array], weight: Array, gradient: Any, context: Context
    ) -> Mapping[str, Array]:
        """Return what the memory holds after an optimizer update; `memory` names the arrays.

        Called once for each update, piece by piece; it treats each value by itself and changes
        none of its arguments.  After an error the memory is as it was.

        Args:
            state: A piece of each array of `memory`, by name.
            weight: The values after the update, masked, in the same shape.
            gradient: The gradient of the update; None unless `needs` has it.
            context: The weight's name, the step, and the index of each value.

        Returns:
            The new pieces, by the same names.

        """
        raise NotImplementedError("the criterion has memory, and no update() that fills it")

    def memory_dtypes(self) -> dict[str, np.dtype[Any]]:
        """Return the dtype of each array of `memory`.

        Raises:
            ValueError: `memory` and `update` do not fit each other, or a dtype is none.

        """
        memory, updates = dict(self.memory), type(self).update is not Criterion.update
        if memory and not updates:
            raise ValueError("it has memory and no update() that fills it")
        if updates and not memory and isinstance(type(self).memory, Mapping):
            raise ValueError(
                'it has an update() and no memory to fill; write memory = {"name": "float32"}'
            )
        for name, dtype in memory.items():
            if not isinstance(name, str) or not name.isidentifier():
                raise ValueError(f"memory: {shown(name)} is no name of an array")
            if dtype not in MEMORY_DTYPES:
                raise ValueError(f"memory[{name!r}]: {nearest(str(dtype), MEMORY_DTYPES)}")
        return {name: np.dtype(dtype) for name, dtype in memory.items()}

    def keys(self, weight: Array, context: Context) -> Array:
        """Return unsigned integers that order like the scores.

        Args:
            weight: The values, as in `score`.
            context: What is known besides the values.

        Raises:
            ValueError: The scores are of another shape, or one is NaN.

        """
        scores = np.asarray(self.score(weight, context))
        if problem := scores_problem(scores, [weight.shape]):
            raise ValueError(problem)
        return score_keys(scores)

    def finite(self, weight: Array, keys: Array) -> bool:
        """Return whether every value is finite.

        Args:
            weight: The values.
            keys: What `keys` returned for them.

        """
        return bool(np.isfinite(weight).all())
