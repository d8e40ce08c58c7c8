"""What a model is called with: arrays that a user gave, or seeded random numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from secateur import ExportError
from secateur.errors import listed
from secateur.layout import Array

SEED = 0
_CLASSES = 2
"""Random integers are below this: a table of any size has that many rows."""


def random_array(shape: Sequence[int], dtype: str, number: int) -> Array:
    """Return seeded random numbers: standard normal, or small integers.

    Args:
        shape: The shape of the array.
        dtype: The name of its dtype.
        number: Which input of the model it is; each gets other numbers.

    Example:
        >>> random_array((2,), "int32", 0).dtype
        dtype('int32')

    """
    generator = np.random.default_rng([SEED, number])
    if dtype == "bool" or "int" in dtype:
        return generator.integers(_CLASSES, size=shape).astype(dtype)
    return generator.standard_normal(shape).astype(dtype if dtype != "bfloat16" else "float32")


def in_order(given: Any, names: Sequence[str]) -> list[Array]:
    """Return the arrays of a batch in the order of a model's inputs.

    Args:
        given: An array, a sequence of arrays, or arrays by name.
        names: The names of the model's inputs.

    Raises:
        ExportError: There are more or fewer arrays than inputs, or other names.

    Example:
        >>> in_order({"b": np.ones(1), "a": np.zeros(1)}, ["a", "b"])
        [array([0.]), array([1.])]

    """
    if isinstance(given, Mapping):
        if len(given) == len(names) == 1:
            return [np.asarray(array) for array in given.values()]
        if set(given) != set(names):
            raise ExportError(
                f"inputs are named {listed(map(str, given))}, and the model takes {listed(names)}"
            )
        return [np.asarray(given[name]) for name in names]
    arrays = list(given) if isinstance(given, list | tuple) else [given]
    if len(arrays) != len(names):
        raise ExportError(
            f"inputs: {len(arrays)} arrays were given, and the model takes {len(names)}: "
            f"{listed(names)}"
        )
    return [np.asarray(array) for array in arrays]


def split(arrays: Sequence[Array], size: int | None) -> list[list[Array]]:
    """Return a batch as batches of a size that fixes the shapes of a file.

    Args:
        arrays: The inputs of a batch.
        size: How many samples the file takes at once; None where it takes any number.

    Example:
        >>> [part[0].tolist() for part in split([np.arange(5)], 2)]
        [[0, 1], [2, 3]]

    """
    if size is None or any(np.ndim(array) == 0 for array in arrays):
        return [list(arrays)]
    count = min(len(array) for array in arrays) // size
    return [[array[i * size : (i + 1) * size] for array in arrays] for i in range(count)]
