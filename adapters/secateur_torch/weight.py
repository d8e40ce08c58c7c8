"""One prunable weight of a torch model: read as NumPy, masked in place."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import Tensor

from secateur.adapter import LayerWeight, Weight, WeightSpec
from secateur.errors import ModelError
from secateur.layout import Array
from secateur_torch.layers import Row
from secateur_torch.stored import Stored

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The integer dtype of each item size."""
AT_ONCE = 1 << 18
"""Elements that are masked at a time."""


def to_numpy(tensor: Tensor) -> Array:
    """Return a read-only array: a view of a CPU tensor's memory, else a copy.

    >>> to_numpy(torch.ones(2, dtype=torch.bfloat16)).dtype
    dtype(bfloat16)
    """
    tensor = tensor.detach().cpu().resolve_neg()
    if tensor.dtype is torch.bfloat16:
        array: Array = tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    else:
        array = tensor.numpy()
    array = array.view()
    array.flags.writeable = False
    return array


def from_numpy(array: Array) -> Tensor:
    """Return a tensor on the memory of an array, which may be read-only and must stay as it is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array)


class TorchWeight(Weight):
    """A parameter, or some rows of one, in canonical layout."""

    def __init__(self, spec: WeightSpec, row: LayerWeight, stored: Stored) -> None:
        self.spec = spec
        self.stored = stored
        self._layout = row.layout
        self._rows = row.rows if isinstance(row, Row) else None

    def read(self) -> Array:
        return self._canonical(self.stored.effective())

    def gradient(self) -> Array | None:
        gradient = self.stored.parameter.grad
        if gradient is None or self.stored.is_computed:
            return None
        return self._canonical(gradient.to_dense() if gradient.is_sparse else gradient)

    def _canonical(self, tensor: Tensor) -> Array:
        array = self._layout.to_canonical(to_numpy(self._part(tensor)))
        array.flags.writeable = False
        return array

    def _part(self, tensor: Tensor) -> Tensor:
        if hasattr(tensor, "device_mesh"):
            raise ModelError(
                f"{self.spec.name} was sharded after the pruner was attached; shard the model "
                "first, make its optimizer, and attach then"
            )
        return tensor if self._rows is None else tensor[slice(*self._rows)]

    def native_mask(self, mask: Array) -> Tensor:
        """Return a mask in the parameter's own layout, on its device.

        Raises ModelError when the layer could not work under it.
        """
        native = from_numpy(self._layout.from_canonical(mask))
        self.stored.check_mask(native)
        return native.to(self.stored.parameter.device)

    def keep(self, mask: Tensor) -> Tensor:
        """Clear every bit of what a native mask prunes; the rest keeps its bits.

        The bits are multiplied as integers, by 1 or 0: a selection, which leaves no -0.0 or
        NaN behind, and takes a tenth of the time of `masked_fill_`.
        Returns the mask, on the device where the parameter is now.
        """
        part = self._part(self.stored.parameter.detach())
        mask = mask.to(part.device)
        bits = part.view(_BITS[part.element_size()])
        for some, kept in zip(_in_pieces(bits), _in_pieces(mask), strict=True):
            some.mul_(kept)
        self.stored.settle(mask)
        return mask

    def nonzero_pruned(self, mask: Tensor) -> int:
        """Return how many values are nonzero where a native mask prunes."""
        part = self._part(self.stored.effective().detach())
        return int(part.ne(0).logical_and_(mask.logical_not()).sum())


def _in_pieces(tensor: Tensor) -> Sequence[Tensor]:
    """Cut a tensor on the processor into rows that its cache holds.

    A product of integers and bools makes integers of the bools first, all of them at once.
    """
    if tensor.numel() <= AT_ONCE or tensor.device.type != "cpu":
        return (tensor,)
    rows = max(1, AT_ONCE * len(tensor) // tensor.numel())
    return torch.split(tensor, rows)


def spec_of(
    name: str, layer: str, row: LayerWeight, tensor: Any, aliases: tuple[str, ...]
) -> WeightSpec:
    """Return what is known of a weight, its canonical shape included."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    shape = canonical_shape(row, tensor)
    return WeightSpec(name, row.kind, row.role, shape, dtype, layer, aliases)


def canonical_shape(row: LayerWeight, tensor: Any) -> tuple[int, ...]:
    """Return the canonical shape of a row of the table.  Raises ValueError for a misfit."""
    shape = tuple(tensor.shape)
    if isinstance(row, Row) and row.rows is not None:
        if shape[0] < row.rows[1]:
            raise ValueError(f"it has no rows up to {row.rows[1]}")
        shape = (row.rows[1] - row.rows[0], *shape[1:])
    return row.layout.to_canonical(np.broadcast_to(np.empty(()), shape)).shape
