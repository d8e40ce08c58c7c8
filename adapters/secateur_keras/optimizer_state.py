"""On JAX: let an optimizer's state carry the masks into its compiled update.

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


class Carrier:
    """Masks that travel with the state of one optimizer, which must be built."""

    def __init__(self, optimizer: Any, masks: Sequence[Any]) -> None:
        self.optimizer, self.masks = optimizer, list(masks)
        self._track()
        for layer in {id(one): one for one in (optimizer, innermost(optimizer))}.values():
            for method in METHODS:
                # Past the optimizer's own __setattr__, which would track what it is given.
                object.__setattr__(layer, method, self._without_masks(getattr(layer, method)))

    def release(self) -> None:
        """Take the masks out again."""
        self._untrack()
        for layer in {id(one): one for one in (self.optimizer, innermost(self.optimizer))}.values():
            for method in METHODS:
                object.__delattr__(layer, method)

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
    """Tell whether masks must be carried: on the JAX backend alone."""
    backend: str = keras.backend.backend()
    return backend == "jax"
