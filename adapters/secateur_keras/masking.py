"""Keep variables masked: by a constraint that every Keras optimizer runs inside its update."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from secateur.layout import Array
from secateur_keras import in_place
from secateur_keras.weight import to_numpy

Constraint = Callable[[Any], Any]
Average = Callable[[Any], Any]
"""Returns the moving average that an optimizer keeps of a variable, or None."""


class MaskConstraint(keras.constraints.Constraint):  # type: ignore[misc]
    """The constraint of one pruned variable: first the user's own, then the mask.

    The mask is a Variable, so that a compiled step sees it change.

    Args:
        variable: The variable; its mask keeps everything at first.
        average: Finds the moving average of the variable, which is masked too.

    """

    def __init__(self, variable: Any, average: Average) -> None:
        self.variable, self.mask = variable, variable_beside(variable, "ones", "bool", "mask")
        self.own: Constraint | None = variable.constraint
        self._average = average
        self._applied: Array | None = None
        self._seen: object = None

    def __call__(self, value: Any) -> Any:
        """Return the value with pruned weights +0.0; runs inside the compiled step."""
        if self.own is not None:
            value = self.own(value)
        if is_baked_in(self.mask, value):
            return value
        average = self._average(self.variable)
        if average is not None:
            self._zero(average)
        if value is self.variable and in_place.is_possible(value):
            in_place.mask(value, self.mask)
            return value
        return self._masked(value)

    def _zero(self, variable: Any) -> None:
        if in_place.is_possible(variable):
            in_place.mask(variable, self.mask)
        else:
            variable.assign(self._masked(variable))

    def _masked(self, value: Any) -> Any:
        """Select, never multiply: a product leaves -0.0, and NaN."""
        zero = ops.zeros((), dtype=keras.backend.standardize_dtype(self.variable.dtype))
        return ops.where(self.mask.value, ops.convert_to_tensor(value), zero)

    def apply(self, mask: Array) -> None:
        """Take a mask, in the variable's own layout, and zero what it prunes."""
        self._take(mask)
        self.enforce()

    def _take(self, mask: Array) -> None:
        if _is_torch():
            _replace(self.mask.value, mask)
        else:
            self.mask.assign(mask)
        self._applied = to_numpy(self.mask.value) if keras.backend.backend() == "jax" else None

    def applied(self) -> Array:
        """Return the mask in the variable's own layout: a read-only view, where it can be one."""
        applied = to_numpy(self.mask.value) if self._applied is None else self._applied
        view = applied.view()
        view.flags.writeable = False
        return view

    def restore(self) -> bool:
        """Put the mask back if it is an earlier one, and return whether it was.

        Keras on JAX restores the training state that it recorded, masks included.
        """
        if self._applied is None or np.array_equal(self._applied, to_numpy(self.mask.value)):
            return False
        self.apply(self._applied)
        return True

    def enforce(self) -> None:
        """Set pruned weights, and the moving averages of them, to +0.0 now."""
        self._zero(self.variable)
        average = self._average(self.variable)
        if average is not None:
            self._zero(average)

    def nonzero_pruned(self) -> int:
        """Return how many values are nonzero where the mask prunes."""
        pruned = ops.logical_not(self.mask.value if self._applied is None else self._applied)
        nonzero = ops.not_equal(ops.convert_to_tensor(self.variable), 0)
        both = ops.logical_and(pruned, nonzero)
        # Keras's own count asks torch for a transpose of a number, which torch warns of
        return int(both.count_nonzero() if _is_torch() else ops.count_nonzero(both))

    def look(self) -> None:
        """Remember the value that the variable has now, without keeping it alive."""
        value = self.variable.value
        if _is_torch():
            self._seen = id(value), value._version
        elif keras.backend.backend() == "jax":
            self._seen = weakref.ref(value)

    def is_unchanged(self) -> bool:
        """Return whether the value surely is that of the last `look`; TensorFlow cannot tell."""
        value, seen = self.variable.value, self._seen
        if isinstance(seen, weakref.ref):
            return seen() is value
        return _is_torch() and seen == (id(value), value._version)

    def release(self) -> None:
        """Give the variable its own constraint back, also in steps that stay compiled."""
        if self.variable.constraint is self:
            self.variable.constraint = self.own
        self._take(np.ones(self.mask.shape, bool))


class MaskedVariables:
    """The pruned variables of a model, by weight name, each with its constraint."""

    def __init__(self) -> None:
        self._constraints: dict[str, MaskConstraint] = {}

    @property
    def masks(self) -> list[Any]:
        """The Keras variables that hold the masks."""
        return [each.mask for each in self._constraints.values()]

    @property
    def variables(self) -> dict[str, Any]:
        """The pruned variables, by weight name."""
        return {name: each.variable for name, each in self._constraints.items()}

    def install(self, variables: Mapping[str, Any], model: Any, average: Average) -> None:
        """Put a constraint on each variable, with a mask that keeps everything."""
        with scope_of(model):
            for name, variable in variables.items():
                self._constraints[name] = constraint = MaskConstraint(variable, average)
                variable.constraint = constraint

    def apply(self, masks: Mapping[str, Array]) -> None:
        """Apply masks in the variables' own layout; the others keep theirs."""
        for name, mask in masks.items():
            self._constraints[name].apply(mask)
        self._look()

    def applied(self, name: str) -> Array:
        """Return the mask of a weight, in the variable's own layout."""
        return self._constraints[name].applied()

    def enforce(self) -> None:
        """Set pruned weights to +0.0 now."""
        for constraint in self._constraints.values():
            constraint.enforce()
        self._look()

    def are_unchanged(self) -> bool:
        """Return whether all variables surely have the values of the last `enforce`."""
        constraints = self._constraints.values()
        return bool(constraints) and all(each.is_unchanged() for each in constraints)

    def restore(self) -> bool:
        """Put back the masks that are earlier ones, and return whether any was."""
        restored = [each.restore() for each in self._constraints.values()]
        self._look()
        return any(restored)

    def nonzero_pruned(self) -> dict[str, int]:
        """Return how many values are nonzero where the masks prune, by weight name."""
        counts = {name: each.nonzero_pruned() for name, each in self._constraints.items()}
        return {name: count for name, count in counts.items() if count}

    def release(self) -> None:
        """Give every variable its own constraint back."""
        constraints, self._constraints = self._constraints, {}
        with contextlib.ExitStack() as stack:  # all of them, even if one fails
            for constraint in constraints.values():
                stack.callback(constraint.release)

    def _look(self) -> None:
        for constraint in self._constraints.values():
            constraint.look()


def is_masked(variable: Any) -> bool:
    """Return whether a pruner already prunes a variable."""
    return isinstance(variable.constraint, MaskConstraint)


def is_baked_in(mask: Any, value: Any) -> bool:
    """Return whether JAX traces an update into which this mask would go as a constant.

    It would never change again, so such an update goes unmasked, and `enforce` follows it.
    """
    if keras.backend.backend() != "jax":
        return False
    import jax

    traced = getattr(value, "value", value)
    return isinstance(traced, jax.core.Tracer) and not isinstance(mask.value, jax.core.Tracer)


def _is_torch() -> bool:
    backend: str = keras.backend.backend()
    return backend == "torch"


def _replace(tensor: Any, mask: Array) -> None:
    """Give a torch tensor other memory, so that views of the old mask do not change."""
    import torch

    tensor.data = torch.tensor(mask, device=tensor.device)


def variable_beside(variable: Any, initializer: Any, dtype: str, suffix: str) -> Any:
    """Make a variable that is not trained, in the shape and at the place of another.

    Args:
        variable: The other.
        initializer: Its first values, as Keras takes them.
        dtype: Its dtype.
        suffix: What its name adds to the other's path.

    """
    beside = keras.Variable(
        initializer,
        shape=variable.shape,
        dtype=dtype,
        trainable=False,
        autocast=False,
        aggregation="only_first_replica",
        name=f"{variable.path.replace('/', '_')}_{suffix}",  # paths must be unique in Keras
    )
    if getattr(variable, "_layout", None) is not None:
        beside._layout = variable._layout  # older Keras takes no layout= there
        beside.assign(beside.value)
    return beside


@contextlib.contextmanager
def scope_of(model: Any) -> Iterator[None]:
    """Enter the scope of tf.distribute that the model's variables were made in."""
    strategy = getattr(model, "distribute_strategy", None)
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        yield
