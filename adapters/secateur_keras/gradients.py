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
from secateur_keras.updates import iterations, parts
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
        self._owners: dict[str, set[int]] = {}
        self._made: dict[int, int] = {}
        self._idle: set[int] = set()
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
        value = None
        if self._owners.get(name, set()) - self._idle:
            value = self._found.get(name) if _backend() == "torch" else self._stores[name].value
        if value is not None:
            return to_numpy(value)
        # the update leaves a variable alone that is frozen
        return None if variable.trainable else np.zeros(variable.shape, variable.dtype)

    def look(self) -> None:
        """Note which optimizers have made updates since the last look: what others left is old."""
        made = {key: iterations(optimizer) for key, optimizer in self._hooked.items()}
        self._idle = {key for key, count in made.items() if count == self._made.get(key)}
        self._made = made

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
        for key, part in new.items():
            self._made[key] = iterations(part)
            for method, replacement in self._taking(part).items():
                # Past the optimizer's own __setattr__, which would track what it is given.
                object.__setattr__(part, method, replacement)
        self._hooked |= new
        return bool(new)

    def release(self) -> None:
        """Let go of all optimizers, and of the gradients."""
        hooked, self._hooked = self._hooked, {}
        for optimizer in hooked.values():
            for method in (_ONE, _ALL):
                vars(optimizer).pop(method, None)
        self._watched, self._found, self._stores = {}, {}, {}

    def _taking(self, optimizer: Any) -> dict[str, Callable[..., None]]:
        """Return the methods of an optimizer that apply gradients, taking them first."""
        apply_one, apply_all = getattr(optimizer, _ONE), getattr(optimizer, _ALL)
        names = {optimizer._var_key(variable): name for name, variable in self._watched.items()}

        def name_of(variable: Any) -> str | None:
            name = names.get(optimizer._var_key(variable))
            if name is not None:
                self._owners.setdefault(name, set()).add(id(optimizer))
            return name

        def update_one(gradient: Any, variable: Any, learning_rate: Any) -> None:
            if (name := name_of(variable)) is not None:
                self._store(optimizer, name, gradient)
            apply_one(gradient, variable, learning_rate)

        def update_all(gradients: Any, variables: Any, learning_rate: Any) -> None:
            pairs = zip(variables, gradients, strict=True)
            found = {name_of(variable): gradient for variable, gradient in pairs}
            for key, name in names.items():
                if name not in found and key in optimizer._trainable_variables_indices:
                    self._miss(optimizer, name)
                elif name in found and not is_one_by_one:
                    self._keep(name, found[name])
            apply_all(gradients, variables, learning_rate)

        is_one_by_one = _backend() == "tensorflow"
        return {_ALL: update_all} | ({_ONE: update_one} if is_one_by_one else {})

    def _keep(self, name: str, gradient: Any) -> None:
        """Keep a gradient on JAX, inside a step that it may trace, or on PyTorch."""
        if _backend() == "torch":
            self._found[name] = gradient if self._is_wanted else None
        else:
            self._stores[name].assign(gradient)

    def _miss(self, optimizer: Any, name: str) -> None:
        """Keep that a variable of an optimizer has no part in its update."""
        match _backend():
            case "torch":
                self._found.pop(name, None)
            case "jax":
                self._stores[name].assign(ops.zeros_like(self._stores[name].value))
            case _:
                self._store(optimizer, name, ops.zeros_like(self._stores[name].value))

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


_ONE = "update_step"
"""The method of an optimizer that updates one variable; on TensorFlow its gradient is summed over
replicas, as it is not before."""
_ALL = "_backend_update_step"
"""The method that updates all variables; on PyTorch its optimizers work on them at once."""


def _backend() -> str:
    backend: str = keras.backend.backend()
    return backend


def _store_of(variable: Any) -> Any:
    """Make the variable that holds the gradient of another."""
    unwritten = keras.initializers.Constant(_UNWRITTEN)
    dtype = keras.backend.standardize_dtype(variable.dtype)
    return variable_beside(variable, unwritten, dtype, "gradient")
