"""Masks on the memory of a tensor: prune in place, and count what is not zero."""

from __future__ import annotations

import torch
from torch import Tensor

from secateur.adapter import clear_pruned as clear_array

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The integer dtype of each item size."""
LARGE = 1 << 18
"""The number of elements above which NumPy masks a tensor in main memory."""


def clear_pruned(tensor: Tensor, mask: Tensor) -> None:
    """Clear every bit of what a mask prunes, in place; the rest keeps its bits.

    The bits are multiplied as integers, by 1 or 0: a selection, which leaves no -0.0 or NaN
    behind, and takes a tenth of the time of `masked_fill_`.

    Args:
        tensor: A float tensor, detached.
        mask: A bool tensor of its shape, on its device; True = kept.

    Example:
        >>> weight = torch.tensor([-1.0, 2.0])
        >>> clear_pruned(weight, torch.tensor([False, True]))
        >>> weight
        tensor([0., 2.])

    """
    bits = tensor.view(_BITS[tensor.element_size()])
    if not _is_large_in_main_memory(tensor):
        bits.mul_(mask)
        return
    clear_array(bits.numpy(), mask.numpy())
    if not tensor.is_inference():
        torch.autograd.graph.increment_version(tensor)  # as torch does when it writes


def count_nonzero_pruned(tensor: Tensor, mask: Tensor) -> int:
    """Return how many values are nonzero where a mask prunes.

    Args:
        tensor: A float tensor.
        mask: A bool tensor of its shape, on its device.

    Example:
        >>> count_nonzero_pruned(torch.ones(2), torch.tensor([False, True]))
        1

    """
    return int(tensor.detach().ne(0).logical_and_(mask.logical_not()).sum())


def _is_large_in_main_memory(tensor: Tensor) -> bool:
    """Return whether NumPy should write: in pieces that fit the processor's cache.

    Torch makes integers of a whole mask first, and its threads wait for one another.
    """
    is_plain = type(tensor) in (Tensor, torch.nn.Parameter) and tensor.device.type == "cpu"
    return is_plain and tensor.numel() > LARGE
