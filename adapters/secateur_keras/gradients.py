"""Keep the gradients of some variables, taken where an optimizer's rule is given them.

There they are clipped, averaged over accumulated batches, summed over replicas, and have the loss
scaling undone.  A compiled step can only leave them in variables; PyTorch needs no copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from secateur.layout import Array
from secateur_keras.masking import scope_of, variable_beside
from secateur_keras.updates import parts
from secateur_keras.weight import to_numpy

_UNWRITTEN = float("nan")
"""What a store holds before an optimizer has written to it."""


class GradientStores:
    """The last gradient of each of some variables.

    Args:
        variables: The variables, by weight name.
        model: The model that they belong to.

    """

    def __init__(self, variables: Mapping[str, Any], model: Any) -> None:
        self._watched = dict(variables)
        self._found: dict[str, Any] = {}
        self._hooked: dict[int, Any] = {}
        self._stores: dict[str, Any] = {}
        if variables and _backend() != "torch":
            with scope_of(model):
                self._stores = {name: _store_of(each) for name, each in variables.items()}
                self._wanted = keras.Variable(True, dtype="bool", trainable=False, name="wanted")
        self._is_wanted = True

    def __bool__(self) -> bool:
        return bool(self._watched)

    @property
    def variables(self) -> list[Any]:
        """The Keras variables that hold the gradients."""
        return list(self._stores.values())

    def read(self, name: str) -> Array | None:
        """Return the gradient of a weight in the variable's own layout, or None without one."""
        variable = self._watched.get(name)
        if variable is None:
            return None
        value = self._found.get(name) if _backend() == "torch" else self._stores[name].value
        gradient = None if value is None else to_numpy(value)
        if gradient is None or (np.isnan(gradient.flat[:1]).all() and np.isnan(gradient).all()):
            # the update leaves a variable alone that is frozen
            return None if variable.trainable else np.zeros(variable.shape, variable.dtype)
        return gradient

    def expect(self, wanted: bool) -> None:
        """Set whether the gradients of the updates to come are used.

        Args:
            wanted: Whether they are; True until this is called.

        """
        if self._watched and wanted != self._is_wanted:
            self._is_wanted = wanted
            if _backend() == "tensorflow":
                self._wanted.assign(wanted)

    def forget(self) -> None:
        """Forget all gradients: those of a fit() that begins may be of other variables."""
        self._found.clear()
        for store in self._stores.values():
            store.assign(ops.full(store.shape, _UNWRITTEN, dtype=store.dtype))

    def hook(self, optimizers: Sequence[Any]) -> bool:
        """Take the gradients that some optimizers are given from now on.

        Args:
            optimizers: The optimizers.

        Returns:
            Whether one of them is new, so that a step that was compiled must be compiled again.

        """
        if not self._watched:
            return False
        found = {id(part): part for one in optimizers for part in parts(one)}
        new = {key: part for key, part in found.items() if key not in self._hooked}
        for part in new.values():
            # Past the optimizer's own __setattr__, which would track what it is given.
            object.__setattr__(part, _METHODS[_backend()], self._taking(part))
        self._hooked |= new
        return bool(new)

    def release(self) -> None:
        """Let go of all optimizers, and of the gradients."""
        hooked, self._hooked = self._hooked, {}
        for optimizer in hooked.values():
            vars(optimizer).pop(_METHODS[_backend()], None)
        self._watched, self._found, self._stores = {}, {}, {}

    def _taking(self, optimizer: Any) -> Callable[..., None]:
        """Return the method of an optimizer that applies gradients, taking them first."""
        method = getattr(optimizer, _METHODS[_backend()])
        names = {optimizer._var_key(variable): name for name, variable in self._watched.items()}

        def update_one(gradient: Any, variable: Any, learning_rate: Any) -> None:
            name = names.get(optimizer._var_key(variable))
            if name is not None:
                self._store(optimizer, name, gradient)
            method(gradient, variable, learning_rate)

        def update_all(gradients: Any, variables: Any, learning_rate: Any) -> None:
            pairs = zip(variables, gradients, strict=True)
            found = {names.get(optimizer._var_key(variable)): each for variable, each in pairs}
            for name in names.values():
                self._keep(name, found.get(name))
            method(gradients, variables, learning_rate)

        return update_one if _backend() == "tensorflow" else update_all

    def _keep(self, name: str, gradient: Any) -> None:
        """Keep a gradient on JAX, inside a step that it may trace, or on PyTorch."""
        if _backend() == "torch":
            self._found[name] = gradient if self._is_wanted else None
        elif gradient is not None:
            self._stores[name].assign(gradient)

    def _store(self, optimizer: Any, name: str, gradient: Any) -> None:
        """Keep a gradient on TensorFlow, where it is used; on each replica its own copy."""
        import tensorflow as tf

        store = self._stores[name]

        def write() -> Any:
            # dense: the rows of a sparse gradient may repeat, and leave others out
            optimizer.assign(store, tf.convert_to_tensor(gradient))
            return tf.constant(True)

        if isinstance(store.value, tf.distribute.DistributedValues):
            write()
        else:
            tf.cond(self._wanted.value, write, lambda: tf.constant(False))


_METHODS = {
    "tensorflow": "update_step",  # what it is given is summed over replicas
    "jax": "_backend_update_step",
    "torch": "_backend_update_step",  # where its optimizers work on all variables at once
}
"""The method of an optimizer by which its rule is given gradients, by backend."""


def _backend() -> str:
    backend: str = keras.backend.backend()
    return backend


def _store_of(variable: Any) -> Any:
    """Make the variable that holds the gradient of another."""
    unwritten = keras.initializers.Constant(_UNWRITTEN)
    dtype = keras.backend.standardize_dtype(variable.dtype)
    return variable_beside(variable, unwritten, dtype, "gradient")
