"""Which layers a call of `prune_low_magnitude` leaves out."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import Any

import keras


class PruningPolicy(ABC):
    """The base of choices of layers; subclass it for one of your own.

    Example:
        >>> class NotTheLast(PruningPolicy):
        ...     def allow_pruning(self, layer):
        ...         return layer.name != "last"
        ...
        ...     def ensure_model_supports_pruning(self, model):
        ...         pass

    """

    @abstractmethod
    def allow_pruning(self, layer: Any) -> bool:
        """Return whether a layer is pruned.

        Args:
            layer: A layer of the model.

        """

    @abstractmethod
    def ensure_model_supports_pruning(self, model: Any) -> None:
        """Check a model before any of its layers is marked.

        Args:
            model: The model.

        Raises:
            ValueError: The model does not fit the policy.

        """


@functools.cache
def functional_class() -> Any:
    """Return the class of functional models, for which Keras exports no name."""
    tensor = keras.Input((1,))
    return type(keras.Model(tensor, tensor))
