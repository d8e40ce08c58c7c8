"""What marks a kernel: its constraint, which Keras itself saves and loads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from secateur.errors import ModelError
from secateur_keras.tfmot.recovery import keep_values
from secateur_keras.tfmot.settings import Settings

MISSING = (
    "this model was marked by prune_low_magnitude, and is being trained without the callback that "
    "prunes it: pass callbacks=[tfmot.sparsity.keras.UpdatePruningStep()] to fit(), or call "
    "set_model(model) and on_train_begin() of one before a loop of your own"
)


class Progress:
    """How far the pruning of a layer has come: what the toolkit calls its pruning step.

    Args:
        step: The number of updates that an earlier process made.

    Attributes:
        live: Returns the number while a pruner prunes the layer; None before that.

    """

    def __init__(self, step: int = 0) -> None:
        self._step = step
        self.live: Callable[[], int] | None = None

    @property
    def step(self) -> int:
        """The number of updates made under pruning."""
        return self._step if self.live is None else self.live()

    @step.setter
    def step(self, step: int) -> None:
        self._step = step


@keras.saving.register_keras_serializable("secateur_keras.tfmot")
class PruneLowMagnitude(keras.constraints.Constraint):  # type: ignore[misc]
    """Marks a kernel that is to be pruned, and stops a training that does not prune it.

    It stands where a layer keeps the constraint of its kernel, so that the layer and its weights
    stay what they are, and files of Keras keep the mark.

    Args:
        settings: How the layer is pruned.
        progress: How far that has come.
        own: The constraint that the layer has itself.

    """

    def __init__(self, settings: Settings, progress: Progress, own: Any = None) -> None:
        self.settings, self.progress, self.own = settings, progress, own

    def __call__(self, value: Any) -> Any:
        """Return the value under the layer's own constraint.

        Raises:
            ModelError: The model is trained, and no pruner has begun to prune it.

        """
        is_alone = getattr(value, "constraint", None) is self
        if is_alone and self.progress.live is None:
            keep_values()
            raise ModelError(MISSING)
        return value if self.own is None else self.own(value)

    def get_config(self) -> dict[str, Any]:
        """Return what a file of Keras holds."""
        own = None if self.own is None else keras.constraints.serialize(self.own)
        step = self.progress.step
        return {**self.settings.get_config(), "pruning_step": step, "constraint": own}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PruneLowMagnitude:
        """Return the mark that a file holds."""
        own = config.get("constraint")
        return cls(
            Settings.from_config(config),
            Progress(int(config.get("pruning_step", 0))),
            None if own is None else keras.constraints.get(own),
        )
