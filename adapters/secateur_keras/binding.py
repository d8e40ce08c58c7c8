"""A Keras model, bound: its weights, and the masks on them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from secateur.adapter import Binding, StateTensor, layer_order
from secateur.errors import ModelError, StateWarning
from secateur.layout import Array
from secateur_keras import once
from secateur_keras.callback import PruningCallback
from secateur_keras.changes import changes
from secateur_keras.checkpoint import PruningState
from secateur_keras.gradients import GradientStores
from secateur_keras.masking import is_masked
from secateur_keras.moments import clear_moments
from secateur_keras.state import state_of
from secateur_keras.training import Training, retrace
from secateur_keras.walk import count_parameters, find
from secateur_keras.weight import KerasWeight

if TYPE_CHECKING:
    from secateur.adapter import AttachedPruner


class KerasBinding(Binding):
    """A Keras model whose pruned variables carry a mask as their constraint.

    Args:
        model: A built model or layer of Keras.

    """

    adapter = "keras"

    def __init__(self, model: Any) -> None:
        self.model = model
        found, self.skipped = find(model)
        self.layers = layer_order(found)
        self.parameters = count_parameters(model)
        self.training = Training(model)
        self.training.sync()
        self.weights: list[KerasWeight] = [
            KerasWeight(one, self.training.sync, self._gradient_of) for one in found
        ]
        self._by_name = {weight.spec.name: weight for weight in self.weights}
        self._state: PruningState | None = None
        self._callback: PruningCallback | None = None
        self._pruner: AttachedPruner | None = None
        self._enforced_at = 0
        self._applied: set[str] = set()

    def apply(self, masks: Mapping[str, Array]) -> None:
        self.training.sync()
        self._install(masks)
        dropped = {name: self._all_kept(name) for name in self._applied - set(masks)}
        self.training.masked.apply(
            {
                name: np.ascontiguousarray(self._by_name[name].layout.from_canonical(mask))
                for name, mask in {**dropped, **masks}.items()
            }
        )
        self._applied = set(masks)
        self.training.record()

    def prune(self, masks: Mapping[str, Array]) -> None:
        self.training.sync()
        variables = {name: self._by_name[name].variable for name in masks}
        _check_free(variables)
        if not all(map(once.is_possible, variables.values())):
            self.apply(masks)
            return
        for name, variable in variables.items():
            mask = np.ascontiguousarray(self._by_name[name].layout.from_canonical(masks[name]))
            once.prune(variable, mask)
            if (average := self.training.average_of(variable)) is not None:
                once.prune(average, mask)
        self.training.record()

    def applied_masks(self, masks: Mapping[str, Array]) -> Mapping[str, Array]:
        masked = self.training.masked
        return {
            name: self._by_name[name].layout.to_canonical(masked.applied(name)) for name in masks
        }

    def clear_moments(self, revived: Mapping[str, Array]) -> None:
        self.training.sync()
        for name, mask in revived.items():
            weight = self._by_name[name]
            kept = np.ascontiguousarray(weight.layout.from_canonical(~mask))
            for optimizer in self.training.optimizers():
                clear_moments(optimizer, weight.variable, kept)
        self.training.record()

    def enforce(self) -> None:
        is_new = self._is_new_step()
        if is_new:
            self.training.gradients.look()
        if self.training.is_counted:
            self.training.enforce()
        else:
            if is_new:
                self._warn_if_nothing_moved()
            self.training.mask_now()

    def nonzero_pruned(self) -> dict[str, int]:
        counts = self.training.nonzero_pruned()
        gone = self.model_changes() if counts else {}
        return {name: count for name, count in counts.items() if name not in gone}

    def model_changes(self) -> Mapping[str, str]:
        notes = changes(self.weights, self.training.masked.variables, self.model)
        interrupted = self.training.note_on_interrupt()
        return notes | ({"optimizer": interrupted} if interrupted else {})

    def tensors(self) -> list[StateTensor]:
        return state_of(self.model, self.weights, self.training.sync)

    def release(self) -> None:
        with contextlib.ExitStack() as stack:  # everything is let go, even if one part fails
            stack.callback(self.training.record)
            stack.callback(retrace, self.training.trained)
            stack.callback(self.training.masked.release)
            stack.callback(self.training.gradients.release)
            stack.callback(self.training.take_masks_from_optimizers)
            if self._state is not None:
                stack.callback(self._state.take_off, self.model)

    def watch_gradients(self, names: Collection[str]) -> bool:
        variables = {name: self._by_name[name].variable for name in names}
        self.training.gradients = GradientStores(variables, self.model)
        return True

    def watch_optimizer(self, pruner: AttachedPruner, optimizer: object | None) -> None:
        self.training.watch(optimizer)
        self._state = PruningState(pruner, self.training)
        self._state.put_on(self.model)
        pruner.check_at_once(getattr(self.training.trained, "steps_per_execution", None) or 1)
        self._pruner = pruner
        self._install(pruner.pruned_weights)
        self.training.put_masks_into_optimizers()

    def callback(self, pruner: AttachedPruner) -> object:
        if self._callback is None:
            self._callback = PruningCallback(pruner, self.training, self.weights)
        return self._callback

    def updates(self) -> int:
        return self.training.updates()

    def _gradient_of(self, name: str) -> Array | None:
        return self.training.gradients.read(name)

    def _all_kept(self, name: str) -> Array:
        return np.ones(self._by_name[name].spec.shape, bool)

    def _is_new_step(self) -> bool:
        """Return whether an update was made since masks were enforced; not so at ``step(0)``."""
        before = self._enforced_at
        self._enforced_at = before if self._pruner is None else self._pruner.current_step
        return self._enforced_at != before

    def _warn_if_nothing_moved(self) -> None:
        import keras

        if keras.backend.backend() == "jax" and self.training.masked.are_unchanged():
            warnings.warn(
                "no weight has changed since the last step: a custom loop on JAX must "
                "assign the new values to the variables of the model and the optimizer before "
                "pruner.step(), and read them again after it, or nothing is pruned",
                StateWarning,
                stacklevel=5,
            )

    def _install(self, names: Iterable[str]) -> None:
        """Put constraints on weights that have none yet; the train step is compiled again."""
        masked = self.training.masked
        variables = {
            name: self._by_name[name].variable for name in names if name not in masked.variables
        }
        _check_free(variables)
        masked.install(variables, self.model, self.training.average_of)
        if variables:
            self.training.take_masks_from_optimizers()
            retrace(self.training.trained)


def _check_free(variables: Mapping[str, Any]) -> None:
    if taken := [name for name, variable in variables.items() if is_masked(variable)]:
        raise ModelError(
            f"{taken[0]} is being pruned by another pruner; nothing was changed. Call "
            "detach() on that one first."
        )
