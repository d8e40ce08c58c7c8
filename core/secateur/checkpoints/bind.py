"""A checkpoint as a model: a mapping of arrays for the reference adapter."""

from __future__ import annotations

import numpy as np

from secateur.adapter import Checkpoint, Skipped
from secateur.checkpoints.infer_kinds import Kinds, assume, weight_name
from secateur.layout import FLOATS, Array
from secateur.numpy_adapter import ArrayBinding, NumpyAdapter


class CheckpointBinding:
    """A checkpoint, bound: `arrays` by the tensors' own names, `binding` over them."""

    def __init__(self, checkpoint: Checkpoint, kinds: Kinds = (), writable: bool = False) -> None:
        chosen, packed = assume(checkpoint, kinds)
        left = [
            Skipped(t.name, f"{'x'.join(map(str, t.shape)) or 'scalar'} {t.dtype}: not a kernel")
            for t in checkpoint.tensors.values()
            if t.name in chosen and not (t.dtype in FLOATS and 2 <= len(t.shape) <= 5)
        ]
        left += [Skipped(t.name, "left out by --kind, or packed; see --kind") for t in packed]
        names = [name for name in chosen if name not in {skipped.name for skipped in left}]
        self.arrays: dict[str, Array] = {}
        for name in names:
            values = checkpoint.read(name)
            self.arrays[name] = np.array(values) if writable else values
        self.tensors = {weight_name(name, chosen[name]): name for name in names}
        self.binding: ArrayBinding = NumpyAdapter().bind(
            {
                weight: (self.arrays[name], chosen[name]) if chosen[name] else self.arrays[name]
                for weight, name in self.tensors.items()
            }
        )
        self.binding.skipped = [*self.binding.skipped, *left]
        self.binding.adapter = checkpoint.adapter
