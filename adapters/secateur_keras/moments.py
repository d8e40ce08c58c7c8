"""What an optimizer keeps of single values, such as momentum: cleared where values come back.

What it begins with is zero for most; dividing by an accumulator of zero would be no number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from secateur.layout import Array
from secateur_keras.updates import parts

_OTHER_LISTS = ("_variables", "_trainable_variables")
"""Attributes of an optimizer that are lists of variables, and no slots."""


_ACCUMULATORS = "_accumulators"
"""The slots of Adagrad and Ftrl that begin with ``initial_accumulator_value``."""


def clear_moments(optimizer: Any, variable: Any, kept: Array) -> None:
    """Set to what it was at first what an optimizer keeps of values that come back.

    That is every slot of the variable's shape: momentums, velocities, accumulators.

    Args:
        optimizer: The optimizer, built.
        variable: The variable.
        kept: False where its values come back, in the variable's own layout.

    """
    for slot, first in slots(optimizer, variable):
        slot.assign(ops.where(kept, ops.convert_to_tensor(slot), ops.full((), first, slot.dtype)))


def slots(optimizer: Any, variable: Any) -> Iterator[tuple[Any, float]]:
    """Yield what an optimizer keeps of a variable, value by value, and what it begins with.

    Args:
        optimizer: The optimizer; one that is not built yet keeps nothing.
        variable: The variable.

    """
    for part in parts(optimizer):
        index = part._trainable_variables_indices.get(part._var_key(variable))
        if not part.built or index is None:
            continue
        count = len(part._trainable_variables)
        for name, slot_list in vars(part).items():  # a slot list has an entry for each variable
            if name in _OTHER_LISTS or not isinstance(slot_list, list) or len(slot_list) != count:
                continue
            slot = slot_list[index]
            if isinstance(slot, keras.Variable) and tuple(slot.shape) == tuple(variable.shape):
                is_filled = name == _ACCUMULATORS
                yield slot, getattr(part, "initial_accumulator_value", 0.0) if is_filled else 0.0
