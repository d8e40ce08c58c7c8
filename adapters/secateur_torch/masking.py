"""Masks on the memory of a tensor: prune in place, and count what is not zero."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The integer dtype of each item size."""
PIECE = 1 << 18
"""The number of elements that are masked at a time."""


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
    for piece, kept in zip(_pieces(bits), _pieces(mask), strict=True):
        piece.mul_(kept)


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


def _pieces(tensor: Tensor) -> Sequence[Tensor]:
    """Split a tensor in main memory by rows, so that each piece fits the processor's cache.

    A product of integers and bools makes integers of the bools first, all of them at once.
    """
    if tensor.numel() <= PIECE or tensor.device.type != "cpu":
        return (tensor,)
    rows = max(1, PIECE * len(tensor) // tensor.numel())
    return torch.split(tensor, rows)
