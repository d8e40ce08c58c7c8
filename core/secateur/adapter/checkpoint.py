"""What every format of checkpoint files offers, so that the command line can read it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType

import numpy as np

from secateur.adapter.weights import Skipped
from secateur.layout import IDENTITY, Array, Layout

ReadElements = Callable[[int, int], Array]
"""Returns the elements of a tensor from one flat index to before another, in the file's order."""
Pieces = Callable[[], Iterator[Array]]
"""Yields the new values of a tensor, flat pieces in the file's order; called once."""
_QUANTIZED = re.compile(r"u?int[248]|F[46].*|float[48]e.*|quantized .*")
"""Dtypes of quantized values: NumPy's, those of safetensors, ONNX and torch."""


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

    @property
    def is_quantized(self) -> bool:
        """Whether its dtype is one of quantized values, which are never pruned."""
        return bool(_QUANTIZED.fullmatch(self.dtype))

    @property
    def why_dense(self) -> str:
        """Why it is left dense where it is no weight, as far as its dtype and rank tell.

        >>> Tensor("fc.weight", "int8", (4, 3)).why_dense
        'int8 of rank 2: quantized; prune the weights before'
        """
        rank = len(self.shape)
        is_quantized = self.is_quantized and rank > 1
        why = "quantized; prune the weights before" if is_quantized else "not a kernel"
        return f"{self.dtype} of rank {rank}: {why}"


@dataclass(frozen=True)
class KnownWeight:
    """One prunable weight of a file whose format, unlike most, tells what its tensors are.

    Attributes:
        name: The name that the adapter gives it, such as ``encoder.0.ffn:kernel``.
        tensor: The tensor that holds it.
        kind: The name of its kind.
        layer: The layer that it belongs to.
        layout: Leads from the tensor, or its rows, to the canonical layout.
        rows: The rows of the tensor that it takes, from the first to before the last; or all.
        reason: From what this is known, where the file does not say it outright.
        aliases: Its other names.
        alias_layers: The other layers that it belongs to.

    Example:
        >>> KnownWeight("fc:kernel", "layers/dense/vars/0", "dense", "fc").layout.steps
        ()

    """

    name: str
    tensor: str
    kind: str
    layer: str
    layout: Layout = IDENTITY
    rows: tuple[int, int] | None = None
    reason: str = ""
    aliases: tuple[str, ...] = ()
    alias_layers: tuple[str, ...] = ()


class Checkpoint(ABC):
    """One checkpoint file, or a folder of them: its tensors by name, their values on demand.

    A format is added by a subclass with `tensors`, `read` and `write`; an adapter returns it from
    `Adapter.read_file`, and ``secateur prune`` then works on its files.  That holds one tensor in
    memory at a time, if `write` asks `changed` for a tensor when it writes it and forgets it then.
    A format whose tensors lie in the file as they are in memory overrides `elements` and
    `rewrite`, too, which read and write a tensor piece by piece: nothing of it is held then.

    Attributes:
        path: The file.
        adapter: The name of the adapter whose naming the tensors follow.
        tensors: Each tensor of the file, by name, in the order of the file.
        ordered: Whether that is the order in which the model has them; a format may sort them.
        notes: What else the file holds, such as the optimizer's moments.
        weights: Its prunable weights, where the format knows them; None where the names and shapes
            of tensors must tell.
        skipped: With `weights`, what is left dense, by the name of its tensor, and why.
        noted_policy: The fingerprint of the policy by which the file was pruned, as `write` noted
            it; None where the format has no place for it, or it was not pruned.
        tied: The names of tensors that the file holds under an earlier name too, such as the head
            of a language model and its embedding, with that name.
        layers: With `weights`, every layer that holds one, in the order of the model, as
            `Binding.layers`; None for the order of the weights.
        untouched: What else holds weights, and is copied as it is: other files of a folder, a
            second state dict.

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
    weights: Sequence[KnownWeight] | None = None
    skipped: Sequence[Skipped] = ()
    noted_policy: str | None = None
    tied: Mapping[str, str] = MappingProxyType({})
    layers: Sequence[str] | None = None
    untouched: Sequence[str] = ()

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
            changed: The new values by name, of the same shapes and dtypes. They are computed when
                they are asked for: ask for each once, in the order of `tensors`, write it, and
                keep no reference to it. An exception that it raises must leave no new file.
            fingerprint: The fingerprint of the policy, noted in the new file.

        Raises:
            ModelError: The format cannot be written.

        """

    def layout_as(self, name: str, kind: str) -> Layout:
        """Return the layout of a tensor that is none of `weights`, if it is of some kind.

        Args:
            name: A name of `tensors`.
            kind: The kind that a user says it is.

        """
        return IDENTITY

    def elements(self, name: str) -> ReadElements:
        """Return what reads a tensor piece by piece; by default, it is read whole at once.

        Args:
            name: A name of `tensors`.

        Returns:
            A function of the first flat index and the one after the last, in the order of the
            file; it may be called from several threads. The arrays are native-endian, flat, and
            the caller's own, or read-only.

        Raises:
            ModelError: As `read`.

        """
        flat = self.read(name).reshape(-1)
        return lambda start, stop: flat[start:stop]

    def rewrite(self, path: Path, changed: Mapping[str, Pieces], fingerprint: str) -> None:
        """Write a copy of the file in which some tensors have other values, that come in pieces.

        By default, each tensor is joined and given to `write`.

        Args:
            path: The new file; it replaces an old one only once it is complete, which is after
                the last piece of the last tensor was taken.
            changed: The pieces of each changed tensor, in the order of `tensors`; each is called
                once, in that order, and what it yields is written before the next is asked for.
            fingerprint: The fingerprint of the policy, noted in the new file.

        Raises:
            ModelError: The format cannot be written.

        """
        self.write(path, _Joined(self, changed), fingerprint)


class _Joined(Mapping[str, Array]):
    """Tensors that are joined from their pieces when they are asked for."""

    def __init__(self, checkpoint: Checkpoint, changed: Mapping[str, Pieces]) -> None:
        self._checkpoint, self._changed = checkpoint, changed

    def __getitem__(self, name: str) -> Array:
        pieces = list(self._changed[name]())
        if not pieces:  # a tensor without elements
            return self._checkpoint.read(name)
        joined: Array = np.concatenate(pieces)
        return joined.reshape(self._checkpoint.tensors[name].shape)

    def __contains__(self, name: object) -> bool:
        return name in self._changed  # without computing the tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._changed)

    def __len__(self) -> int:
        return len(self._changed)
