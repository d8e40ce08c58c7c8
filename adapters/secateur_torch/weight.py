"""One prunable weight of a torch model: read as NumPy, masked in place."""

from __future__ import annotations

import warnings
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import Tensor

from secateur.adapter import ATTACH_AGAIN, Collected, LayerWeight, Weight, WeightSpec
from secateur.errors import ModelError
from secateur.layout import Array
from secateur_torch.masking import clear_pruned, count_nonzero_pruned
from secateur_torch.memory import identity_of, packed_rows
from secateur_torch.parametrization import ParameterSlot, unprunable_reason

_BITS = {"bfloat16": torch.int16} | {
    name: torch.uint8
    for name in vars(ml_dtypes)
    if name.startswith("float8_") and hasattr(torch, name)
}
"""The dtypes that NumPy lacks, and the integers that hold their bits."""


def to_numpy(tensor: Tensor) -> Array:
    """Return a read-only array: a view of a CPU tensor's memory, else a copy.

    Args:
        tensor: Any dense tensor.

    Example:
        >>> to_numpy(torch.ones(2, dtype=torch.bfloat16)).dtype
        dtype(bfloat16)

    """
    tensor = tensor.detach().cpu().resolve_neg().resolve_conj()
    name = str(tensor.dtype).removeprefix("torch.")
    if name in _BITS:
        array: Array = tensor.view(_BITS[name]).numpy().view(getattr(ml_dtypes, name))
    else:
        array = tensor.numpy()
    array = array.view()
    array.flags.writeable = False
    return array


def from_numpy(array: Array) -> Tensor:
    """Return a tensor on the memory of an array, which may be read-only and must stay as it is.

    Args:
        array: Any array.

    """
    name = array.dtype.name
    if name in _BITS:
        bits = array.view(np.int16 if array.itemsize == 2 else np.uint8)
        return from_numpy(bits).view(getattr(torch, name))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array)


class TorchWeight(Weight):
    """A parameter, or some rows of one, in canonical layout.

    Args:
        spec: What is known of it.
        entry: The entry of the table that describes it.
        slot: Where its values are stored.

    Attributes:
        kept: A copy of the last update's gradient, where the parameter may get another before it
            is read, and None once it was used; empty otherwise.

    """

    def __init__(self, spec: WeightSpec, entry: LayerWeight, slot: ParameterSlot) -> None:
        self.spec = spec
        self.slot = slot
        self.entry = entry
        self._layout = entry.layout
        self._rows = packed_rows(entry)
        self._checked: tuple[object, ...] = ()
        self.kept: tuple[Tensor | None, ...] = ()

    def read(self) -> Array:
        self.current()
        return self._canonical(self.slot.effective())

    def current(self) -> Tensor:
        """Return the present parameter.

        Raises:
            ModelError: It is gone, has another shape than when the weight was bound, or holds
                no values that could be pruned.

        """
        try:
            parameter: Tensor = self.slot.parameter
        except ModelError as error:
            raise ModelError(f"{self.spec.name}: {error}") from None
        # what can change in a model is looked at closely only when it has changed
        seen = (id(parameter), parameter.dtype, parameter.device, parameter.shape)
        if seen != self._checked:
            self._check(parameter)
            self._checked = seen
        return parameter

    def _check(self, parameter: Tensor) -> None:
        name = self.spec.name
        if hasattr(parameter, "device_mesh") and not self.sharded:
            raise ModelError(
                f"{name} was sharded after the pruner was attached; shard the model first, make "
                "its optimizer, and attach then"
            )
        if reason := unprunable_reason(parameter):
            raise ModelError(
                f"{name} has changed since the pruner was attached: its {self.slot.key} {reason}. "
                f"Its masks stay, to be read and saved{ATTACH_AGAIN}"
            )
        try:
            shape: object = canonical_shape(self.entry, parameter)
        except ValueError:
            shape = tuple(parameter.shape)
        if shape != self.spec.shape:
            raise ModelError(
                f"{name} has the shape {shape} now, and had {self.spec.shape} when the pruner was "
                f"attached, so its mask does not fit{ATTACH_AGAIN}"
            )

    @property
    def writable(self) -> bool:
        return not self.slot.is_computed

    @torch.no_grad()
    def write(self, values: Array) -> None:
        part = self.part(self.current().detach())
        part.copy_(self.native(values).to(part.device))

    def gradient(self) -> Array | None:
        parameter = self.current()
        gradient = self.kept[0] if self.kept else parameter.grad
        if self.slot.is_computed:
            return None
        if gradient is None:  # the update left a frozen parameter alone, and may have had no other
            return None if parameter.requires_grad else np.zeros_like(self.read())
        return self._canonical(gradient.to_dense() if gradient.is_sparse else gradient)

    def keep_gradient(self) -> None:
        """Copy the gradient that the parameter has now, to be read later."""
        gradient = self.current().grad
        self.kept = (None if gradient is None else gradient.detach().clone(),)

    def drop_gradient(self) -> None:
        """Forget the copy: a step without an update of the weight has no gradient of it."""
        self.kept = (None,) if self.kept else ()

    def identity(self) -> object:
        return identity_of(self.slot, self._rows)

    def _canonical(self, tensor: Tensor) -> Array:
        array = self._layout.to_canonical(to_numpy(self.part(tensor)))
        array.flags.writeable = False
        return array

    def part(self, tensor: Tensor) -> Tensor:
        """Return what belongs to this weight of the parameter, or of a tensor like it."""
        return tensor if self._rows is None else tensor[slice(*self._rows)]

    def native_mask(self, mask: Array) -> Tensor:
        """Return a mask in the parameter's own layout, on its device.

        Args:
            mask: The mask, canonical.

        Raises:
            ModelError: The layer could not work under it.

        """
        device = self.current().device
        native = self.native(mask)
        self.slot.check_mask(native)
        return native.to(device)

    def native(self, mask: Array) -> Tensor:
        """Return a mask of any meaning, or values, in the parameter's own layout.

        Args:
            mask: The mask, canonical.

        """
        return from_numpy(self._layout.from_canonical(mask))

    def clear(self, mask: Tensor) -> Tensor:
        """Clear every bit of what a native mask prunes; the rest keeps its bits.

        Args:
            mask: What `native_mask` returned.

        Returns:
            The mask, on the device where the parameter is now.

        Raises:
            ModelError: The parameter has changed, or cannot be written.

        """
        part = self.part(self.current().detach())
        mask = mask.to(part.device)
        try:
            clear_pruned(part, mask)
        except RuntimeError as error:
            raise ModelError(f"{self.spec.name} cannot be written: {error}") from error
        self.slot.restore(mask)
        return mask

    def nonzero_pruned(self, mask: Tensor) -> int:
        """Return how many values are nonzero where a native mask prunes.

        Args:
            mask: What `native_mask` returned.

        """
        self.current()
        part = self.part(self.slot.effective())
        return count_nonzero_pruned(part, mask.to(part.device))


def spec_of(collected: Collected[ParameterSlot]) -> WeightSpec:
    """Return what is known of a weight, its canonical shape included."""
    found = collected.found
    entry, tensor = found.entry, found.where.parameter
    return WeightSpec(
        found.name,
        entry.kind,
        entry.role,
        canonical_shape(entry, tensor),
        str(tensor.dtype).removeprefix("torch."),
        found.layer,
        collected.aliases,
        bool(tensor.requires_grad),
        collected.alias_layers,
        entry.groups,
    )


def canonical_shape(entry: LayerWeight, tensor: Any) -> tuple[int, ...]:
    """Return the canonical shape of the weight that an entry of the table describes.

    Args:
        entry: The entry.
        tensor: The parameter.

    Raises:
        ValueError: The parameter's shape does not fit the entry.

    """
    shape = tuple(tensor.shape)
    rows = packed_rows(entry)
    if rows is not None:
        if shape[0] < rows[1]:
            raise ValueError(f"it has no rows up to {rows[1]}")
        shape = (rows[1] - rows[0], *shape[1:])
    return entry.layout.to_canonical(np.broadcast_to(np.empty(()), shape)).shape
