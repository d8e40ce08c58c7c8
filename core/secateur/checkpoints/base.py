"""What every format of checkpoints offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from secateur.layout import Array


@dataclass(frozen=True)
class Tensor:
    """One array of a checkpoint: `dtype` is NumPy's name for it, or the format's own."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)


class Checkpoint(ABC):
    """One file: its tensors by name, their values on demand."""

    path: Path
    adapter: str = "numpy"
    """The adapter whose names the tensors have."""
    tensors: Mapping[str, Tensor]

    @abstractmethod
    def read(self, name: str) -> Array:
        """Return the values of a tensor, read-only or not.  Raises ModelError if damaged."""

    @abstractmethod
    def write(self, path: Path, changed: Mapping[str, Array], fingerprint: str) -> None:
        """Write a copy in which some tensors are changed, and all else is as it was.

        The fingerprint of the policy is noted in the file.
        """
