"""Prune a variable once, without the means that keep it masked in training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from secateur.adapter import clear_pruned, pruned_copy
from secateur.layout import Array
from secateur_keras import in_place


def is_possible(variable: Any) -> bool:
    """Return whether a variable's value lies whole in main memory."""
    value = variable.value
    match keras.backend.backend():
        case "torch":
            import torch

            return type(value) in (torch.Tensor, torch.nn.Parameter) and value.device.type == "cpu"
        case "jax":
            import jax

            if not isinstance(value, jax.Array) or isinstance(value, jax.core.Tracer):
                return False
            return [device.platform for device in value.devices()] == ["cpu"]
        case "tensorflow":
            return in_place.is_in_main_memory(value)
    return False


def prune(variable: Any, mask: Array) -> None:
    """Set to +0.0 what a mask prunes.

    Args:
        variable: A variable for which `is_possible` is true.
        mask: The mask, in the variable's own layout.

    """
    value = variable.value
    match keras.backend.backend():
        case "torch":
            _prune_tensor(value, mask)
        case "jax":
            import jax

            pruned = pruned_copy(np.asarray(value), mask)
            variable.assign(jax.device_put(pruned, value.sharding if value.committed else None))
        case _ if in_place.is_possible(variable):
            in_place.mask_once(variable, mask)
        case _:
            variable.assign(ops.where(mask, value, ops.zeros((), dtype=variable.dtype)))


def _prune_tensor(tensor: Any, mask: Array) -> None:
    """Prune a torch tensor in place: NumPy works on its memory, in a third of torch's time."""
    import torch

    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    clear_pruned(tensor.detach().view(bits).numpy(), mask)
    if not tensor.is_inference():
        torch.autograd.graph.increment_version(tensor)  # as torch does when it writes
