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


def moving_average(optimizer: Any, variable: Any) -> Any:
    """Return the moving average that an optimizer keeps of a variable, or None."""
    optimizer = innermost(optimizer)
    if not (optimizer.use_ema and optimizer.built):
        return None
    index = optimizer._trainable_variables_indices.get(optimizer._var_key(variable))
    return None if index is None else optimizer._model_variables_moving_average[index]


def _iterations(optimizer: Any) -> int:
    # Updates that were skipped for loss scaling, or that only accumulate, do not count here.
    return int(to_numpy(keras.ops.convert_to_tensor(optimizer.iterations)))


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
        """Return the updates since the last look."""
        before = self._seen
        self.restart(optimizers)
        return max((now - before.get(key, 0) for key, now in self._seen.items()), default=0)
