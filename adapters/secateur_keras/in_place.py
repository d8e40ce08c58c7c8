"""Mask a large TensorFlow variable in place, instead of replacing it by a masked copy.

XLA makes one loop of it that takes no memory, and on a processor the traffic of a copy is what a
mask costs.  The weight's bits are kept or cleared by a bitwise and: XLA makes faster code of it
than of a select, and it leaves +0.0 of NaN, too.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import keras

from secateur.layout import Array

LARGE = 1 << 20
"""The least number of elements where it pays; a smaller copy stays in the processor's caches."""


def is_possible(variable: Any) -> bool:
    """Return whether a variable is a large one, on one processor, of TensorFlow with XLA."""
    if keras.backend.backend() != "tensorflow" or math.prod(variable.shape) < LARGE:
        return False
    # the value is a tensor, while Keras keeps values elsewhere
    return is_in_main_memory(variable.value) and _has_compiler()


def is_in_main_memory(value: Any) -> bool:
    """Return whether a value of TensorFlow is a variable on one processor."""
    import tensorflow as tf

    return (
        isinstance(value, tf.Variable)
        and not isinstance(value, tf.distribute.DistributedValues)
        and "CPU" in value.device
    )


def mask(variable: Any, kept: Any) -> None:
    """Set to +0.0 the values of a variable where `kept`, a boolean one of its shape, is False."""
    _clear(variable.value.dtype)(variable.value.handle, kept.value.handle)


def mask_once(variable: Any, kept: Array) -> None:
    """Do the same by an array of NumPy."""
    import tensorflow as tf

    _clear_by_tensor(variable.value.dtype)(variable.value.handle, tf.convert_to_tensor(kept))


@functools.cache
def _clear(dtype: Any) -> Any:
    """Return the function for a dtype; it takes handles, to be traced once for all variables."""
    import tensorflow as tf

    handle = tf.TensorSpec((), tf.resource)

    @tf.function(input_signature=[handle, handle], jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def clear(weight: Any, kept: Any) -> None:
        _write_masked(weight, dtype, tf.raw_ops.ReadVariableOp(resource=kept, dtype=tf.bool))

    return clear


@functools.cache
def _clear_by_tensor(dtype: Any) -> Any:
    """Return the function for a dtype that takes the mask as a tensor."""
    import tensorflow as tf

    signature = [tf.TensorSpec((), tf.resource), tf.TensorSpec(None, tf.bool)]

    @tf.function(input_signature=signature, jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def clear(weight: Any, kept: Any) -> None:
        _write_masked(weight, dtype, kept)

    return clear


def _write_masked(weight: Any, dtype: Any, kept: Any) -> None:
    import tensorflow as tf

    bits = tf.as_dtype(f"int{8 * dtype.size}")
    value = tf.bitcast(tf.raw_ops.ReadVariableOp(resource=weight, dtype=dtype), bits)
    masked = tf.bitcast(tf.bitwise.bitwise_and(value, -tf.cast(kept, bits)), dtype)
    tf.raw_ops.AssignVariableOp(resource=weight, value=masked)


@functools.cache
def _has_compiler() -> bool:
    """Return whether this build of TensorFlow has XLA for the processor; some have not."""
    import tensorflow as tf

    with tf.init_scope(), tf.device("CPU:0"):
        weight, kept = tf.Variable([1.0]), tf.Variable([True])
        try:
            _clear(weight.dtype)(weight.handle, kept.handle)
        except tf.errors.OpError:
            return False
    return True
