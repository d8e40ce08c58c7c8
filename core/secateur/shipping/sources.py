"""All tensors of a model or of a file, whichever was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from secateur.adapter import Checkpoint, StatePart, StateTensor
from secateur.checkpoints.infer_kinds import Kinds, infer
from secateur.errors import ModelError
from secateur.hooks.dispatch import bind, file_notes, reading_adapter
from secateur.layout import Array
from secateur.packing.order import state_parts
from secateur.shipping.model_files import read_model_file
from secateur.shipping.packed_checkpoint import PackedCheckpoint

FILE = "file"
"""Where the tensors of a file are from: their names and layouts are the file's own."""


@dataclass(frozen=True)
class Source:
    """The tensors of a model or of a file.

    Attributes:
        tensors: Each tensor once.
        adapter: The adapter whose model it is; `FILE` for tensors of a file, of which layouts
            are inferred.
        path: The file; None for a model.
        notes: What else the file holds.
        is_packed: Whether it is a packed file.

    """

    tensors: Sequence[StateTensor]
    adapter: str
    path: Path | None = None
    notes: Sequence[str] = ()
    is_packed: bool = False

    def __str__(self) -> str:
        return "the model" if self.path is None else str(self.path)


def open_source(model: Any, kinds: Kinds = ()) -> Source:
    """Return the tensors of a model, or of the file at a path.

    Args:
        model: A model that `secateur.plan` takes, or a path.
        kinds: The kinds of tensors of a file whose names do not tell them.

    Raises:
        ModelError: No adapter knows it, or it has no tensors.
        OSError: The file cannot be read.

    """
    path = Path(model) if isinstance(model, str | Path) else None
    held = model if path is None else read_model_file(path)
    notes: Sequence[str] = ()
    if isinstance(held, PackedCheckpoint):
        tensors: Sequence[StateTensor] = _packed_tensors(held)
        adapter = held.packed.source
    elif isinstance(held, Checkpoint):
        tensors, adapter, notes = _file_tensors(held, kinds), FILE, held.notes
    else:
        binding = bind(held)
        tensors, adapter = binding.tensors(), binding.adapter
        reader = reading_adapter(path.suffix) if path else None
        notes = file_notes(reader, path) if reader and path else ()
    is_packed = isinstance(held, PackedCheckpoint)
    source = Source(tensors, adapter, path, notes, is_packed)
    if not tensors:
        raise ModelError(f"{source} holds no tensors")
    return source


def _file_tensors(checkpoint: Checkpoint, kinds: Kinds) -> list[StateTensor]:
    parts: dict[str, list[StatePart]] = {}
    for part in infer(checkpoint, kinds).parts:
        kind = part.kind or ("dense" if len(checkpoint.tensors[part.tensor].shape) == 2 else "conv")
        parts.setdefault(part.tensor, []).append(
            StatePart(part.weight, kind, part.layout, part.rows)
        )
    tied: dict[str, tuple[str, ...]] = {}
    for name, first in checkpoint.tied.items():
        tied[first] = (*tied.get(first, ()), name)
    return [
        _tensor(checkpoint, name, tuple(parts.get(name, ())), tied.get(name, ()))
        for name in checkpoint.tensors
        if name not in checkpoint.tied
    ]


def _packed_tensors(checkpoint: PackedCheckpoint) -> list[StateTensor]:
    try:
        return [
            _tensor(checkpoint, entry.name, state_parts(entry.parts), entry.aliases)
            for entry in checkpoint.packed.entries.values()
        ]
    except (ValueError, IndexError) as error:
        raise ModelError(f"{checkpoint.path}: its parts do not make it up: {error}") from error


def _tensor(
    checkpoint: Checkpoint,
    name: str,
    parts: tuple[StatePart, ...],
    aliases: tuple[str, ...] = (),
) -> StateTensor:
    tensor = checkpoint.tensors[name]
    read = partial(checkpoint.read, name)
    return StateTensor(
        name, tensor.shape, tensor.dtype, read, _refuse, parts, aliases, writable=False
    )


def _refuse(values: Array) -> NoReturn:
    raise ModelError("a file is not written in place")
