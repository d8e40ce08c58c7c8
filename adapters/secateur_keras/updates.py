"""Count the updates that Keras optimizers make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from secateur.errors import ModelError
from secateur_keras.weight import to_numpy


def as_optimizers(optimizer: object) -> tuple[Any, ...]:
    """Return the argument ``optimizer=`` as Keras optimizers; raises ModelError for others."""
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


def _iterations(optimizer: Any) -> int:
    # Updates that were skipped for loss scaling, or that only accumulate, do not count here.
    counts = (part.iterations for part in parts(optimizer))  # no Variables, when they accumulate
    return max(int(to_numpy(getattr(count, "value", count))) for count in counts)


class Clock:
    """The updates that some optimizers have made; of several, those of the busiest.

    An optimizer that was not there at first started from zero.
    """

    def __init__(self, optimizers: Sequence[Any]) -> None:
        self._first = {id(one): _iterations(one) for one in optimizers}
        self._seen: dict[int, int] = {}

    def total(self, optimizers: Sequence[Any]) -> int:
        """Return the updates since the clock was made."""
        return max(
            (_iterations(one) - self._first.get(id(one), 0) for one in optimizers), default=0
        )

    def restart(self, optimizers: Sequence[Any]) -> None:
        """Look at the time without counting what passed, after a checkpoint was loaded."""
        self._seen = {id(one): _iterations(one) for one in optimizers}

    def moved(self, optimizers: Sequence[Any]) -> int:
        """Return the updates since the last look; none where the time was set back."""
        before = self._seen
        self.restart(optimizers)
        return max([0, *(now - before.get(key, 0) for key, now in self._seen.items())])
