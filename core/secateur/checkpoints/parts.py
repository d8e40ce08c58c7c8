"""A weight of a checkpoint: a tensor, or some rows of one, and what it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secateur.adapter import Tensor
from secateur.checkpoints.raw import comparable, dtype_of
from secateur.layout import IDENTITY, Array, Layout


@dataclass(frozen=True)
class Part:
    """One prunable weight of a checkpoint.

    Attributes:
        weight: The name that an adapter would give it, such as ``lstm:recurrent``.
        tensor: The tensor that holds it.
        kind: The name of its kind; None where the rank of the tensor decides.
        layer: The layer that it belongs to; None where it is what the name has before its role.
        layout: Leads from the tensor, or its rows, to the canonical layout.
        rows: The rows of the tensor that it takes, from the first to before the last; or all.
        reason: Why it is of this kind, where it is not its rank or ``--kind`` that says so.
        aliases: Its other names.
        alias_layers: The other layers that it belongs to.

    """

    weight: str
    tensor: str
    kind: str | None = None
    layer: str | None = None
    layout: Layout = IDENTITY
    rows: tuple[int, int] | None = None
    reason: str = ""
    aliases: tuple[str, ...] = ()
    alias_layers: tuple[str, ...] = ()

    def shape_in(self, tensor: Tensor) -> tuple[int, ...]:
        """Return the shape that the weight has in the file."""
        if self.rows is None:
            return tuple(tensor.shape)
        return (self.rows[1] - self.rows[0], *tensor.shape[1:])

    def blank(self, tensor: Tensor, path: Path) -> Array:
        """Return an array of zeros of the weight's canonical shape, which takes no memory."""
        zero = comparable(np.zeros((), dtype_of(tensor, path)))
        return self.layout.to_canonical(np.broadcast_to(zero, self.shape_in(tensor)))

    def canonical(self, stored: Array) -> Array:
        """Return the weight in canonical layout, a view of the tensor where NumPy allows.

        Values of 8 bits come as float16.
        """
        return self.layout.to_canonical(comparable(self._of(stored)))

    def _of(self, stored: Array) -> Array:
        return stored if self.rows is None else stored[slice(*self.rows)]
