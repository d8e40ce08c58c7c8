"""The pruning state inside Keras's own checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    from secateur.pruner import Pruner

ATTRIBUTE = "secateur_state"


class PruningState(keras.layers.Layer):  # type: ignore[misc]
    """Rides along where Keras saves and loads weights, as BackupAndRestore does.

    It has no variables: it writes the pruner's state dict beside the model's weights.  A
    model without it loads such a file as if nothing more were there.
    """

    def __init__(self, pruner: Pruner, catch_up: Callable[[], None]) -> None:
        super().__init__(name=ATTRIBUTE)
        self.built = True
        self._pruner, self._catch_up = pruner, catch_up

    def save_own_variables(self, store: Any) -> None:
        """Write the state; ``/`` would make a group of a name."""
        self._catch_up()
        for name, array in self._pruner.state_dict().items():
            store[name.replace("/", "|")] = array

    def load_own_variables(self, store: Any) -> None:
        """Go on from a state; a file without one leaves the pruner where it is."""
        state = {name.replace("|", "/"): np.asarray(store[name]) for name in list(store.keys())}
        if state:
            self._pruner.load_state_dict(state)

    @classmethod
    def put_on(cls, model: Any, pruner: Pruner, catch_up: Callable[[], None]) -> None:
        """Let a model carry the state, unseen by `weights`, `layers` and `get_config`."""
        # Past the model's own __setattr__, which would track it as a layer.
        object.__setattr__(model, ATTRIBUTE, cls(pruner, catch_up))

    @staticmethod
    def take_off(model: Any) -> None:
        """Leave the model as it was."""
        if ATTRIBUTE in vars(model):
            object.__delattr__(model, ATTRIBUTE)
