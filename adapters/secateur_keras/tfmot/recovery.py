"""After a training that was stopped in its first step: leave Keras so that it can be tried again.

Keras on JAX takes the values out of a model while fit() runs, and loses them if its first step
raises; on TensorFlow an optimizer that was built in such a step never gets its first values.
"""

from __future__ import annotations

import sys
from typing import Any

import keras

_PARTS = ("trainable", "non_trainable", "optimizer", "metrics")


def keep_values() -> None:
    """Let the fit() among the callers, on JAX, put back into its model what it took out."""
    if keras.backend.backend() != "jax":
        return
    frame: Any = sys._getframe(1)
    while frame is not None:
        model, state = frame.f_locals.get("self"), frame.f_locals.get("state")
        is_fit = frame.f_code.co_name == "fit" and isinstance(model, keras.Model)
        if is_fit and isinstance(state, tuple) and len(state) == len(_PARTS):
            model._jax_state = {
                f"{part}_variables": values for part, values in zip(_PARTS, state, strict=True)
            }
            return
        frame = frame.f_back


def repair_optimizer(model: Any) -> None:
    """Give a model on TensorFlow a new optimizer where the old one has variables without values.

    It has made no update yet, so that nothing is lost.
    """
    optimizer = getattr(model, "optimizer", None)
    if keras.backend.backend() != "tensorflow" or optimizer is None:
        return
    values = [getattr(variable, "value", variable) for variable in optimizer.variables]
    if all(bool(value.is_initialized()) for value in values if hasattr(value, "is_initialized")):
        return
    model.optimizer = type(optimizer).from_config(optimizer.get_config())
