"""A Keras model, bound."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from secateur.adapter import Binding
from secateur.errors import ModelError, StateWarning
from secateur.layout import Array
from secateur_keras import optimizer_state
from secateur_keras.checkpoint import PruningState
from secateur_keras.find import find
from secateur_keras.masking import Held
from secateur_keras.updates import Clock, as_optimizers, moving_average
from secateur_keras.weight import KerasWeight

if TYPE_CHECKING:
    from secateur.adapter import AttachedPruner


class KerasBinding(Binding):
    """A Keras model whose pruned variables carry a mask as their constraint."""

    adapter = "keras"

    def __init__(self, model: Any) -> None:
        self.model = model
        self.trained = model  # the model that fit() is called on; it may contain `model`
        found, self.skipped = find(model)
        self.sync()
        self.weights: list[KerasWeight] = [KerasWeight(one, self.sync) for one in found]
        self._by_name = {weight.spec.name: weight for weight in self.weights}
        self._held: dict[str, Held] = {}
        self._carriers: dict[int, optimizer_state.Carrier] = {}
        self._given: tuple[Any, ...] = ()
        self._clock = Clock(self.optimizers())
        self._compiled = False
        self._left: list[int] = []
        self._state: PruningState | None = None
        self.catch_up: Callable[[], None] = _nothing
        """Brings the pruner up to date with the optimizer, before a state is saved."""
        self.reloaded = False
        """Whether a checkpoint was loaded since the clock was last known to be right."""

    def optimizers(self) -> tuple[Any, ...]:
        """Return the optimizers whose updates are steps: those given, or the compiled one."""
        compiled = getattr(self.trained, "optimizer", None)
        return self._given or (() if compiled is None else (compiled,))

    def apply(self, masks: Mapping[str, Array]) -> None:
        self.sync()
        self._install(name for name in masks if name not in self._held)
        for name, mask in masks.items():
            native = self._by_name[name].layout.from_canonical(mask)
            self._held[name].apply(np.ascontiguousarray(native))
        self._left = self._values()

    def applied_masks(self, masks: Mapping[str, Array]) -> Mapping[str, Array]:
        return {
            name: self._by_name[name].layout.to_canonical(self._held[name].seen()) for name in masks
        }

    def enforce(self) -> None:
        if not self._compiled:
            self._warn_if_nothing_moved()
            self.mask_now()

    def mask_now(self) -> None:
        """Set pruned weights to +0.0, whoever changed them, and count updates from here."""
        self.restart_clock()
        for held in self._held.values():
            held.enforce()
        self._left = self._values()

    def nonzero_pruned(self) -> dict[str, int]:
        self.sync()
        counts = {name: held.nonzero_pruned() for name, held in self._held.items()}
        return {name: count for name, count in counts.items() if count}

    @contextlib.contextmanager
    def updated_by_keras(self) -> Iterator[None]:
        """Say that the step to come was made by Keras, whose update runs the constraints.

        A train_step of the user's own may change weights after that, too.
        """
        carried = all(id(one) in self._carriers for one in self.optimizers())
        is_plain = type(self.trained).train_step is keras.Model.train_step
        self._compiled = is_plain and (carried or not optimizer_state.needed())
        try:
            yield
        finally:
            self._compiled = False

    def release(self) -> None:
        if self._state is not None:
            self._state.take_off(self.model)
        self._put_down()
        for held in self._held.values():
            held.release()
        self._held = {}
        _trace_again(self.trained)

    def watch_optimizer(self, pruner: AttachedPruner, optimizer: object | None) -> None:
        self._given = () if optimizer is None else as_optimizers(optimizer)
        self._clock = Clock(self.optimizers())
        self._state = PruningState(pruner, self)
        self._state.put_on(self.model)
        self._install(pruner.pruned_weights)
        self._carry()

    def callback(self, pruner: AttachedPruner) -> object:
        from secateur_keras.callback import PruningCallback

        return PruningCallback(pruner, self)

    def updates(self) -> int:
        self.sync()
        return self._clock.total(self.optimizers())

    def restart_clock(self) -> None:
        """Count updates from here; a checkpoint may have set the optimizer forward or back."""
        self.sync()
        self._clock.restart(self.optimizers())
        self.reloaded = False

    def reload(self) -> None:
        """Mask the weights of a checkpoint that was just loaded.

        The optimizer of a model around this one has yet to load, so the clock is not right.
        """
        self.mask_now()
        self.reloaded = True

    def updates_since_last_look(self) -> int:
        """Return how many updates the optimizer made since the last look; skipped ones are none."""
        self.sync()
        return self._clock.moved(self.optimizers())

    def adopt(self, trained: Any, catch_up: Callable[[], None]) -> None:
        """Take note of the model that is being trained, at the start of fit().

        catch_up: brings the pruner up to date with the optimizer, before a state is saved.
        """
        self._check_still_there()
        self.catch_up = catch_up
        if trained is not self.trained:
            self.trained = trained
            _trace_again(trained)
        if not self.optimizers():
            raise ModelError(
                f"{trained.name} has no optimizer whose updates could be counted; give "
                "optimizer= to secateur.attach (a list, where there are several), or call "
                "pruner.step() yourself"
            )
        self._carry()

    def adopted_ends(self) -> None:
        """Take note of the end of fit()."""
        self.catch_up = _nothing

    def sync(self) -> None:
        """Bring variables up to date on JAX, where fit() keeps them outside the model."""
        for model in (self.model, self.trained):
            if hasattr(model, "jax_state_sync"):
                model.jax_state_sync()

    def _values(self) -> list[int]:
        """Return what tells the weights' values now from others, where they are immutable."""
        if keras.backend.backend() != "jax":
            return []
        return [id(held.variable.value) for held in self._held.values()]

    def _warn_if_nothing_moved(self) -> None:
        if self._left and self._left == self._values():
            warnings.warn(
                "no weight has changed since the last step: a loop of one's own on JAX must "
                "assign the new values to the variables of the model and the optimizer before "
                "pruner.step(), and read them again after it, or nothing is pruned",
                StateWarning,
                stacklevel=4,
            )

    def _check_still_there(self) -> None:
        """Raise ModelError when a weight cannot be pruned any more, as with LoRA enabled."""
        found, skipped = find(self.model)
        present = {id(one.variable) for one in found}
        reasons = {one.name: one.reason for one in skipped}
        for name, held in self._held.items():
            if id(held.variable) not in present:
                layer = self._by_name[name].spec.layer
                why = reasons.get(layer, "its layer holds another variable now")
                raise ModelError(
                    f"{name} is being pruned, and cannot be any more: {why}. Call "
                    "pruner.detach(), and attach again if there is more to prune."
                )

    def _install(self, names: Iterable[str]) -> None:
        variables = {name: self._by_name[name].variable for name in names}
        if taken := [name for name, v in variables.items() if isinstance(v.constraint, Held)]:
            raise ModelError(
                f"{taken[0]} is being pruned by another pruner; nothing was changed. Call "
                "detach() on that one first."
            )
        with _scope(self.model):
            for name, variable in variables.items():
                self._held[name] = held = Held(variable, _mask_of(variable))
                held.average = self._average
                variable.constraint = held
        if variables:
            self._put_down()
            _trace_again(self.trained)

    def _carry(self) -> None:
        """Let the optimizers carry the masks, where that is needed and they are built."""
        new = [one for one in self.optimizers() if one.built and id(one) not in self._carriers]
        if new and optimizer_state.needed():
            masks = [held.mask for held in self._held.values()]
            self._carriers.update({id(one): optimizer_state.Carrier(one, masks) for one in new})
            _trace_again(self.trained)

    def _put_down(self) -> None:
        for carrier in self._carriers.values():
            carrier.release()
        self._carriers = {}

    def _average(self, variable: Any) -> Any:
        found = (moving_average(one, variable) for one in self.optimizers())
        return next((average for average in found if average is not None), None)


def _nothing() -> None:
    pass


def _mask_of(variable: Any) -> Any:
    """Make the mask of a variable, all kept, placed as the variable is."""
    mask = keras.Variable(
        "ones",
        shape=variable.shape,
        dtype="bool",
        trainable=False,
        autocast=False,
        aggregation="only_first_replica",
        name=f"{variable.path.replace('/', '_')}_mask",  # Keras wants paths to be unique
    )
    if getattr(variable, "_layout", None) is not None:
        mask._layout = variable._layout  # older Keras takes no layout= there
        mask.assign(mask.value)
    return mask


def _scope(model: Any) -> contextlib.AbstractContextManager[Any]:
    """Return the scope of tf.distribute that the model's variables were made in."""
    strategy = getattr(model, "distribute_strategy", None)
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def _trace_again(model: Any) -> None:
    """Throw away a train step that was compiled with other constraints."""
    if hasattr(model, "_record_training_state_sharding_spec"):
        # Keras before 3.12 on JAX looks at the optimizer's variables before callbacks begin
        model.jax_state_sync()
        model._record_training_state_sharding_spec()
    if getattr(model, "train_function", None) is not None:
        model.train_function = None
        model.make_train_function()  # fit() has called it already when callbacks begin
