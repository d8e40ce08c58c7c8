"""The pruning state inside Keras's own checkpoints."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from secateur.errors import ModelError, StateError, StateWarning

if TYPE_CHECKING:
    from secateur.adapter import AttachedPruner
    from secateur_keras.training import Training

ATTRIBUTE = "secateur_state"


class PruningState(keras.layers.Layer):  # type: ignore[misc]
    """Makes a model save and load the pruner's state with its weights, as BackupAndRestore does.

    It has no variables: it writes the pruner's state dict next to the model's weights.  A
    model without it loads such a file as if nothing more were there.

    Args:
        pruner: The pruner.
        training: The training of its model.

    """

    def __init__(self, pruner: AttachedPruner, training: Training) -> None:
        super().__init__(name=ATTRIBUTE)
        self.built = True
        self._pruner, self._training = pruner, training

    def save_own_variables(self, store: Any) -> None:
        """Write the state; ``/`` would make a group of a name."""
        self._training.catch_up()
        for name, array in self._pruner.state_dict().items():
            store[name.replace("/", "|")] = array

    def load_own_variables(self, store: Any) -> None:
        """Resume from a state; without one that fits, mask the weights that were just loaded.

        An error here would leave the model half loaded, so a state of another run is a warning.
        """
        state = {name.replace("|", "/"): np.asarray(store[name]) for name in list(store.keys())}
        try:
            if state:
                self._pruner.load_state_dict(state)
        except StateError as error:
            warnings.warn(
                f"the weights were loaded, and the pruning state in the file was not: {error}. "
                "The current masks were applied to the weights.",
                StateWarning,
                stacklevel=2,
            )
        self._training.mask_now()
        # the optimizer of a model around this one has yet to load: the counter is not right
        self._training.reloaded = True

    def put_on(self, model: Any) -> None:
        """Let a model carry the state, unseen by `weights`, `layers` and `get_config`.

        Raises:
            ModelError: It carries that of another pruner.

        """
        if ATTRIBUTE in vars(model):
            raise ModelError(
                f"{model.name} is being pruned by another pruner; nothing was changed. Call "
                "detach() on that one first, and give one policy all the rules."
            )
        # Past the model's own __setattr__, which would track it as a layer.
        object.__setattr__(model, ATTRIBUTE, self)

    def take_off(self, model: Any) -> None:
        """Leave the model as it was."""
        if vars(model).get(ATTRIBUTE) is self:
            object.__delattr__(model, ATTRIBUTE)
