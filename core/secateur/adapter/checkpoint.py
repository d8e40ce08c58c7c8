"""What every format of checkpoint files offers, so that the command line can read it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from secateur.layout import Array


@dataclass(frozen=True)
class Tensor:
    """One array of a checkpoint file.

    Attributes:
        name: Its name in the file.
        dtype: NumPy's name of its dtype, or the format's own where NumPy has none.
        shape: Its shape in the file.

    Example:
        >>> Tensor("fc.weight", "float32", (4, 3)).size
        12

    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)


class Checkpoint(ABC):
    """One checkpoint file: its tensors by name, their values on demand.

    Attributes:
        path: The file.
        adapter: The name of the adapter whose naming the tensors follow.
        tensors: Each tensor of the file, by name, in the order of the file.
        ordered: Whether that is the order in which the model has them; a format may sort them.
        notes: What else the file holds, such as the optimizer's moments.

    Example:
        >>> from secateur.checkpoints import open_checkpoint
        >>> open_checkpoint(Path("missing.npz"))
        Traceback (most recent call last):
        secateur.errors.ModelError: missing.npz: no such file

    """

    path: Path
    adapter: str = "numpy"
    tensors: Mapping[str, Tensor]
    ordered: bool = True
    notes: Sequence[str] = ()

    @abstractmethod
    def read(self, name: str) -> Array:
        """Return the values of a tensor, read-only or not.

        Args:
            name: A name of `tensors`.

        Raises:
            ModelError: The file is damaged, or its dtype cannot be read.

        """

    @abstractmethod
    def write(self, path: Path, changed: Mapping[str, Array], fingerprint: str) -> None:
        """Write a copy of the file in which some tensors have other values.

        Args:
            path: The new file; it replaces an old one only once it is complete.
            changed: The new values by name, of the same shapes and dtypes.
            fingerprint: The fingerprint of the policy, noted in the new file.

        Raises:
            ModelError: The format cannot be written.

        """
