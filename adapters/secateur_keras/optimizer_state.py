"""On JAX: put the masks into an optimizer's state, so that its compiled update sees them change.

What is not part of the state is a constant of the compiled step.  The masks are kept out of
what the optimizer saves, so that a file holds the optimizer's own state and nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from secateur_keras.updates import innermost

METHODS = ("save_own_variables", "load_own_variables")


class OptimizerStateMasks:
    """Masks in the state of one optimizer.

    Args:
        optimizer: A built optimizer.
        masks: The variables that hold the masks.

    """

    def __init__(self, optimizer: Any, masks: Sequence[Any]) -> None:
        self.optimizer, self.masks = optimizer, list(masks)
        self._track()
        for layer in self._layers():
            for method in METHODS:
                # Past the optimizer's own __setattr__, which would track what it is given.
                object.__setattr__(layer, method, self._without_masks(getattr(layer, method)))

    def release(self) -> None:
        """Take the masks out again."""
        for layer in self._layers():
            for method in METHODS:
                vars(layer).pop(method, None)
        self._untrack()

    def _layers(self) -> list[Any]:
        """Return the optimizer, and the one that it wraps if it scales the loss."""
        return list({id(one): one for one in (self.optimizer, innermost(self.optimizer))}.values())

    def _without_masks(self, method: Callable[[Any], None]) -> Callable[[Any], None]:
        def run(store: Any) -> None:
            with self._set_aside():
                method(store)

        return run

    @contextlib.contextmanager
    def _set_aside(self) -> Iterator[None]:
        self._untrack()
        try:
            yield
        finally:
            self._track()

    def _track(self) -> None:
        for mask in self.masks:
            innermost(self.optimizer)._track_variable(mask)

    def _untrack(self) -> None:
        for mask in self.masks:
            innermost(self.optimizer)._untrack_variable(mask)


def needed() -> bool:
    """Return whether optimizers need the masks in their state: on the JAX backend alone."""
    backend: str = keras.backend.backend()
    return backend == "jax"
