"""Which subclasses of a known layer may compute their weight from the variable.

A weight-standardized convolution extends Conv2D and uses ``(kernel - mean) / deviation``: zeros in
its kernel are none in the convolution.  An override that touches the attribute of the weight is
taken for such a one, whether itself or through another method of its class.  Of a property it is
tried out whether zeros stay zero; so it is for the layers of HGQ2, whose property ``qkernel`` is
the quantized kernel that they multiply by.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import CodeType
from typing import Any

import keras
import numpy as np
from keras import ops

FORWARD = ("__call__", "call", "convolution_op")
"""The methods of a layer by which it uses its weights."""


def computed_in(layer: Any, known: type, attribute: str) -> str | None:
    """Return the method by which a layer may compute a weight, or None.

    Args:
        layer: A built layer.
        known: The class of the table that it extends.
        attribute: Where the layer keeps the weight.

    Example:
        >>> class Scaled(keras.layers.Dense):
        ...     def call(self, inputs):
        ...         return ops.matmul(inputs, self.kernel * 2)
        >>> layer = Scaled(3)
        >>> layer.build((None, 4))
        >>> computed_in(layer, keras.layers.Dense, "kernel")
        'call'

    """
    overrides = _overrides(type(layer), known)
    if "convolution_op" in overrides:
        return "convolution_op"  # it is given the kernel as an argument
    word = attribute.rpartition(".")[2]
    words = {word, f"_{word}"}
    for name in FORWARD:
        touched = name in overrides and _touches(layer, overrides, name, words)
        if touched and not _is_of_hgq2(layer, name, word, words):
            return name
    return None


def _is_of_hgq2(layer: Any, method: str, word: str, words: set[str]) -> bool:
    """Return whether HGQ2 itself defines a method, and its quantized weight keeps zeros."""
    quantized = f"q{word}"
    owners = [
        next((cls for cls in type(layer).__mro__ if name in vars(cls)), object)
        for name in (method, quantized)
    ]
    if not all(owner.__module__.startswith("hgq.") for owner in owners):
        return False
    return _keeps_zeros(layer, vars(owners[1])[quantized], quantized, words)


def _overrides(cls: type, known: type) -> dict[str, Any]:
    """Return what the classes between a layer's own and the known one define, by name."""
    below = cls.__mro__[: cls.__mro__.index(known)]
    found: dict[str, Any] = {}
    for each in below:
        if not each.__module__.startswith("keras."):
            for name, value in vars(each).items():
                found.setdefault(name, value)
    return found


def _touches(layer: Any, overrides: dict[str, Any], start: str, words: set[str]) -> bool:
    """Return whether a method reads one of some attributes, itself or through others."""
    seen, todo = {start}, [start]
    while todo:
        name = todo.pop()
        used = set(_names_in(overrides[name]))
        if words & used and not _keeps_zeros(layer, overrides[name], name, words):
            return True
        new = (used & overrides.keys()) - seen - words
        seen |= new
        todo += new
    return False


def _names_in(member: Any) -> Iterator[str]:
    """Yield the names of attributes and globals in the code of a method or property."""
    if isinstance(member, property):
        member = member.fget
    member = inspect.unwrap(getattr(member, "__func__", member))
    codes = [getattr(member, "__code__", None)]
    while codes:
        code = codes.pop()
        if isinstance(code, CodeType):
            yield from code.co_names
            codes += code.co_consts


def _keeps_zeros(layer: Any, member: Any, name: str, words: set[str]) -> bool:
    """Return whether a property is zero where the variable that it is computed from is zero."""
    if not isinstance(member, property):
        return False
    variable = next(
        (value for word in words if hasattr(value := getattr(layer, word, None), "constraint")),
        None,
    )
    if variable is None:
        return False
    values = ops.convert_to_numpy(ops.convert_to_tensor(variable))
    kept = (np.arange(values.size) % 2 == 0).reshape(values.shape)
    some = ops.convert_to_tensor(np.where(kept, values, 0), dtype=variable.dtype)
    try:
        with keras.StatelessScope(state_mapping=[(variable, some)]):
            computed = ops.convert_to_numpy(ops.convert_to_tensor(getattr(layer, name)))
    except Exception:  # the code of others, which may need what it has in a call only
        return False
    return computed.shape == kept.shape and not computed[~kept].any()
