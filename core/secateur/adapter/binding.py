"""One model, bound: its weights, and the means to keep them masked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from secateur.adapter.state import StateTensor
from secateur.adapter.weights import Skipped, Weight
from secateur.errors import ModelError
from secateur.layout import Array
from secateur.workers import SINGLE, Workers


class AttachedPruner(Protocol):
    """What a binding may ask of the pruner that drives it.

    Example:
        >>> def after_update(pruner: AttachedPruner) -> None:
        ...     if pruner.attached:
        ...         pruner.step()

    """

    @property
    def attached(self) -> bool:
        """Whether the pruner still drives its model: until `detach`."""
        ...

    @property
    def current_step(self) -> int:
        """The number of optimizer updates that the pruner has counted."""
        ...

    @property
    def pruned_weights(self) -> Sequence[str]:
        """The names of the weights that the plan prunes."""
        ...

    def check_attached(self) -> None:
        """Raise StateError when the pruner was detached."""
        ...

    def check_at_once(self, updates: int) -> None:
        """Raise StateError when so many updates cannot be counted by one `step`.

        Args:
            updates: How many the framework makes before it can call `step`.

        """
        ...

    def step(self, updates: int = 1) -> None:
        """Advance by `updates` optimizer updates.

        Args:
            updates: How many were made since the last call.

        """
        ...

    def uses_gradients(self, updates: int = 1) -> bool:
        """Return whether a criterion looks at the gradients of one of the next updates.

        Args:
            updates: How many updates to look ahead.

        """
        ...

    def observe(self, **values: float) -> None:
        """Record the metric values that `begin_when` schedules monitor.

        Args:
            **values: The values by name, such as ``loss=0.3``.

        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state as a flat mapping of name to array."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a `state_dict`.

        Args:
            state: What `state_dict` returned.

        """
        ...


class Binding(ABC):
    """One model, bound.  The pruner is the only caller of the methods.

    Attributes:
        adapter: The name of the adapter that made it.
        weights: Each prunable weight, once, in the order of the model.
        skipped: The layers and parameters that are left dense, and why.
        workers: The processes that shard the weights; a single one holds whole weights.
        parameters: The number of all parameters of the model, biases and layers left dense
            included; None where the adapter cannot count them.
        ordered: Whether the weights are listed in the order in which the model uses them; False
            for files whose order is the format's own.
        knows_trainable: Whether weights are marked as trainable or frozen; False for files, which
            do not say it.
        layers: Every layer with a prunable weight, in the order of the model, with the layers
            that only hold a tied weight met before (see `layer_order`); None means the layers
            of `weights`, in their order.

    Example:
        >>> import numpy as np
        >>> from secateur.numpy_adapter import NumpyAdapter
        >>> binding = NumpyAdapter().bind({"fc": np.ones((2, 2))})
        >>> binding.apply({"fc": np.eye(2, dtype=bool)})
        >>> binding.weights[0].read().tolist()
        [[1.0, 0.0], [0.0, 1.0]]

    """

    adapter: str
    weights: Sequence[Weight]
    skipped: Sequence[Skipped]
    workers: Workers = SINGLE
    parameters: int | None = None
    ordered: bool = True
    knows_trainable: bool = True
    layers: Sequence[str] | None = None

    @abstractmethod
    def apply(self, masks: Mapping[str, Array]) -> None:
        """Apply masks: pruned weights are +0.0 now, and after every update.

        Each call replaces all earlier masks.  Zeros are set by selection (``where``), never by
        multiplication.

        Args:
            masks: Weight name to bool array, canonical, True = kept.  A weight without a mask
                is left alone.

        Raises:
            ModelError: The model cannot take the masks; nothing is changed then.

        """

    def prune(self, masks: Mapping[str, Array]) -> None:
        """Set pruned weights to +0.0 once; `release` follows.

        As here, it may do what `apply` does, which also keeps them so in training.

        Args:
            masks: Weight name to bool array, as in `apply`.

        Raises:
            ModelError: The model cannot take the masks; nothing is changed then.

        """
        self.apply(masks)

    def applied_masks(self, masks: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the masks that were just applied, as the framework keeps them.

        Views of the framework's memory avoid a second copy of each mask.  They must never
        change, so a framework that changes masks in place returns `masks`.

        Args:
            masks: What `apply` was given.

        """
        return masks

    @abstractmethod
    def enforce(self) -> None:
        """Set pruned weights to +0.0 again, after an optimizer update.

        Does nothing where the framework has done so inside its update.
        """

    def nonzero_pruned(self) -> Mapping[str, int] | None:
        """Return how many values are nonzero where the mask prunes, by the weight's name.

        Counted from the live model; None, as here, lets core read the weights and count. Of
        weights in shards, what this process holds. Weights in which there are none do not
        appear, nor do those that `model_changes` names, whose masks no longer fit.
        """
        return None

    def model_changes(self) -> Mapping[str, str]:
        """Return a note for each weight that the live model no longer has as it was bound.

        A weight may be gone, replaced by another parameter, of another shape, tied or untied.
        A report counts the weights that are named here as not pruned.  Nothing is raised.

        Returns:
            The name of the weight, as its `WeightSpec` has it, to a note that names it and says
            what to do, at its end: `ATTACH_AGAIN`.  A note on anything else in the model has
            another key, such as the path of its layer.

        """
        return {}

    @abstractmethod
    def release(self) -> None:
        """Remove every hook from the model; the weights keep their values."""

    def watch_optimizer(self, pruner: AttachedPruner, optimizer: object | None) -> None:
        """Arrange that ``pruner.step()`` is called after each update, where the framework can.

        Args:
            pruner: The pruner to call.
            optimizer: What `secateur.attach` was given as ``optimizer=``.

        Raises:
            ModelError: The framework cannot watch this optimizer.

        """
        if optimizer is not None:
            raise ModelError(f"optimizer= has no meaning for a {self.adapter} model; leave it out")

    def clear_moments(self, revived: Mapping[str, Array]) -> None:  # noqa: B027  not abstract
        """Clear what optimizers keep of values that come back, such as momentum: set it to zero.

        Called after `apply`, under policies that regrow weights.  A binding that knows no
        optimizer leaves it to the training loop, as here: see `Pruner.revived`.

        Args:
            revived: By weight name, where values come back: bool, canonical, as masks are.

        """

    def gradient_problems(self, names: Collection[str]) -> Mapping[str, str]:
        """Return why the gradients of some weights can never be had, by the weight's name.

        Asked before `watch_gradients`, by a plan too; nothing is changed.

        Args:
            names: The names of the weights.

        """
        return {}

    def watch_gradients(self, names: Collection[str]) -> bool:
        """Keep the gradients of some weights from now on, until `release`.

        After each update, when ``pruner.step()`` is called, `Weight.gradient` of these weights
        returns what the optimizer's rule was given in it: summed over processes, averaged over
        accumulated batches, with loss scaling undone, and clipped.  Called before
        `watch_optimizer`, and only where a criterion needs gradients.

        Args:
            names: The names of the weights.

        Returns:
            Whether the adapter can do that; False, as here, makes users give the gradients to
            ``pruner.step(gradients=...)``.

        """
        return False

    def to_canonical(self, gradients: Any) -> Mapping[str, Any]:
        """Return gradients as a user gave them to ``pruner.step``, by weight name and canonical.

        Args:
            gradients: A mapping of weight name to canonical array, or what the framework makes.

        Raises:
            ModelError: They are neither.

        """
        if not isinstance(gradients, Mapping):
            raise ModelError(
                f"gradients= is a {type(gradients).__name__}; wanted a mapping of weight name to "
                "array in canonical layout"
            )
        return gradients

    def callback(self, pruner: AttachedPruner) -> object:
        """Return the framework's callback that moves the schedule.

        Args:
            pruner: The pruner to call.

        Raises:
            ModelError: The framework has no callbacks.

        """
        raise ModelError(
            f"a {self.adapter} model takes no callback; call pruner.step() after each update, or "
            "give optimizer= to secateur.attach() where the framework has optimizer hooks"
        )

    def updates(self) -> int | None:
        """Return how many updates were made since `watch_optimizer`; None if unknown."""
        return None

    def include(self, average: object, masks: Mapping[str, Array]) -> None:
        """Apply masks to an average of the model too.

        Args:
            average: The framework's average of the model's weights.
            masks: The current masks.

        Raises:
            ModelError: It is not an average of this model; nothing is changed then.

        """
        raise ModelError(f"a {self.adapter} model has no averages that could be included")

    def tensors(self) -> Sequence[StateTensor]:
        """Return all of the model's state: what must be saved to predict the same again.

        Prunable weights, biases, statistics of normalization and other buffers, each once, in
        the order of the model.  `secateur.pack` reads them and `secateur.load_packed` writes
        them; both refuse a model whose adapter does not define this.

        Raises:
            ModelError: The adapter does not define this, or some state is no plain tensor.

        """
        raise ModelError(
            f"the {self.adapter} adapter cannot list all of a model's state; save the model as "
            "a .safetensors or .npz file, and use that"
        )

    def to_native(self, array: Array, whole: int | None = None) -> Any:
        """Return an array of a state dict as the framework's own checkpoints hold it.

        Args:
            array: The array, or this process's chunk of a longer one.
            whole: The length of the longer one, when `array` is a chunk.

        """
        return array

    def from_native(self, value: Any) -> Any:
        """Return the array that `to_native` made into `value`.

        Args:
            value: What a checkpoint gave back.

        """
        return value

    def chunk(self, native: Any) -> Array | None:
        """Return this process's chunk of what `to_native` made of chunks; None for others.

        Args:
            native: What a checkpoint gave back.

        """
        return None
