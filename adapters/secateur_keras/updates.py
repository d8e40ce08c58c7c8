"""Count the updates that Keras optimizers make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from secateur.errors import ModelError
from secateur_keras.weight import to_numpy


def as_optimizers(optimizer: object) -> tuple[Any, ...]:
    """Return the argument ``optimizer=`` as Keras optimizers.

    Args:
        optimizer: One optimizer, or a list of them.

    Raises:
        ModelError: It is something else.

    """
    many = optimizer if isinstance(optimizer, (list, tuple)) else (optimizer,)
    for one in many:
        if not isinstance(one, keras.optimizers.Optimizer):
            raise ModelError(
                f"optimizer= takes a Keras optimizer, or a list of them, not "
                f"{type(one).__name__}; leave it out for the one given to model.compile()"
            )
    return tuple(many)


def innermost(optimizer: Any) -> Any:
    """Return the optimizer that a loss-scaling one wraps, or the optimizer itself."""
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer


def parts(optimizer: Any) -> Sequence[Any]:
    """Return the optimizers that do the work: several, inside a `MultiOptimizer`."""
    inner = innermost(optimizer)
    return getattr(inner, "optimizers", None) or (inner,)


def moving_average(optimizer: Any, variable: Any) -> Any:
    """Return the moving average that an optimizer keeps of a variable, or None."""
    for part in parts(optimizer):
        if part.use_ema and part.built:
            index = part._trainable_variables_indices.get(part._var_key(variable))
            if index is not None:
                return part._model_variables_moving_average[index]
    return None


def iterations(optimizer: Any) -> int:
    """Return how many updates an optimizer has made; of several inside it, those of the busiest."""
    # Updates that were skipped for loss scaling, or that only accumulate, do not count here.
    counts = (part.iterations for part in parts(optimizer))  # no Variables, when they accumulate
    return max(int(to_numpy(getattr(count, "value", count))) for count in counts)


class UpdateCounter:
    """Counts the updates that some optimizers make; of several, those of the busiest.

    Args:
        optimizers: Those that exist now; one that appears later started from zero.

    """

    def __init__(self, optimizers: Sequence[Any]) -> None:
        self._first = {id(one): iterations(one) for one in optimizers}
        self._seen = dict(self._first)

    def total(self, optimizers: Sequence[Any]) -> int:
        """Return the updates since the counter was made."""
        return _most(optimizers, self._first)

    def pending(self, optimizers: Sequence[Any]) -> int:
        """Return the updates since the last `restart`; none where they were set back."""
        return _most(optimizers, self._seen)

    def restart(self, optimizers: Sequence[Any]) -> None:
        """Count from here: what was pending was counted, or is not to be counted."""
        self._seen = {id(one): iterations(one) for one in optimizers}


def _most(optimizers: Sequence[Any], before: Mapping[int, int]) -> int:
    return max([0, *(iterations(one) - before.get(id(one), 0) for one in optimizers)])
